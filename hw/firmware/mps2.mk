# SPDX-License-Identifier: Apache-2.0
# The Arm image: MPS2+ AN386, Cortex-M4F, also QEMU's mps2-an386. Included by Makefile; stands alone
# as well: make -f mps2.mk BUILD=folder BUILD_ID=0x0u. All outputs lie under $(BUILD):
#   tomoshibi-mps2.elf          factory image, what the board boots
#   tomoshibi-mps2-update.elf   the same program, linked for an update slot
#   tomoshibi-mps2-update.bin   its bytes, still without the image header (hw/machines/build.py)
#   *.map, *.su                 where everything lies; stack of each function

MPS2_CROSS ?= arm-none-eabi-
MPS2_CC := $(MPS2_CROSS)gcc
BUILD ?= build/mps2
BUILD_ID ?= 0x00000000u
MPS2_OPTIMISE ?= -O2
# Relative: make splits an absolute path at its spaces.
MPS2_HERE := $(dir $(lastword $(MAKEFILE_LIST)))

MPS2_CPU := -mcpu=cortex-m4 -mthumb -mfloat-abi=soft
MPS2_CFLAGS := -std=c99 -Wall -Wextra -Werror -pedantic -Wshadow -Wconversion $(MPS2_OPTIMISE) -g \
	$(MPS2_CPU) -ffreestanding -ffunction-sections -fdata-sections -fno-common -fstack-usage \
	-fno-tree-loop-distribute-patterns -DTOMOSHIBI_BUILD=$(BUILD_ID) $(DEFINES) \
	"-ffile-prefix-map=$(CURDIR)/=" -I$(MPS2_HERE)include -I$(MPS2_HERE)core -I$(MPS2_HERE)hal
MPS2_LDFLAGS := $(MPS2_CPU) -nostdlib -Wl,--gc-sections -Wl,--fatal-warnings \
	-Wl,--no-warn-rwx-segments -L$(MPS2_HERE)hal/mps2

MPS2_SOURCES := $(sort $(wildcard $(MPS2_HERE)core/*/*.c $(MPS2_HERE)hal/common/*.c \
	$(MPS2_HERE)hal/mps2/*.c))
MPS2_OBJECTS := $(patsubst $(MPS2_HERE)%.c,$(BUILD)/%.o,$(MPS2_SOURCES))
MPS2_FACTORY := $(BUILD)/tomoshibi-mps2.elf
MPS2_UPDATE := $(BUILD)/tomoshibi-mps2-update.elf

.PHONY: mps2 mps2-size
mps2: $(MPS2_FACTORY) $(MPS2_UPDATE:.elf=.bin)

$(BUILD)/%.o: $(MPS2_HERE)%.c
	@mkdir -p $(@D)
	$(MPS2_CC) $(MPS2_CFLAGS) -MMD -MP -c $< -o $@

$(MPS2_FACTORY): MPS2_SCRIPT := factory.ld
$(MPS2_UPDATE): MPS2_SCRIPT := update.ld
$(MPS2_FACTORY) $(MPS2_UPDATE): $(MPS2_OBJECTS) $(wildcard $(MPS2_HERE)hal/mps2/*.ld)
	$(MPS2_CC) $(MPS2_LDFLAGS) -T $(MPS2_HERE)hal/mps2/$(MPS2_SCRIPT) -Wl,-Map,$(@:.elf=.map) \
		$(MPS2_OBJECTS) -lgcc -o $@

$(BUILD)/%.bin: $(BUILD)/%.elf
	$(MPS2_CROSS)objcopy -O binary $< $@

mps2-size: $(MPS2_FACTORY)
	$(MPS2_CROSS)size -A $<

# Joins the Makefile's own cppcheck; unix32 stands for a 32-bit machine with the same types.
.PHONY: cppcheck mps2-cppcheck
cppcheck: mps2-cppcheck
mps2-cppcheck:
	cppcheck --std=c99 --platform=unix32 --enable=warning,performance,portability \
		--error-exitcode=1 --inline-suppr --quiet --suppress=missingInclude \
		-I$(MPS2_HERE)core -I$(MPS2_HERE)include -I$(MPS2_HERE)hal -D__BYTE_ORDER__=1 \
		-D__ORDER_LITTLE_ENDIAN__=1 $(wildcard $(MPS2_HERE)hal/mps2/*.c)

-include $(MPS2_OBJECTS:.o=.d)
