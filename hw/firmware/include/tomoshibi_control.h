/* SPDX-License-Identifier: Apache-2.0
 *
 * How the host speaks with a module: control messages, registers, faults, shared memory.
 * Generated from hw/wire/control.toml by `python -m hw.generate`: do not edit.
 * docs/protocol.md says what everything means.
 */
#ifndef TOMOSHIBI_CONTROL_H
#define TOMOSHIBI_CONTROL_H

#include "tomoshibi_protocol.h"

#define TOMOSHIBI_CONTROL_VERSION 1u
#define TOMOSHIBI_CONTROL_MAGIC UINT32_C(0x43534D54)
#define TOMOSHIBI_CONTROL_SCHEMA_CRC UINT32_C(0x09931107)
#define TOMOSHIBI_CONTROL_MAX_PAYLOAD 1024u
#define TOMOSHIBI_COUNTER_HZ UINT32_C(25000000)
#define TOMOSHIBI_BAUD_DEFAULT UINT32_C(115200)
#define TOMOSHIBI_BAUD_MIN UINT32_C(9600)
#define TOMOSHIBI_BAUD_MAX UINT32_C(4000000)
#define TOMOSHIBI_MESSAGE_BYTES 16u
#define TOMOSHIBI_MESSAGE_CRC_OFFSET 12u
#define TOMOSHIBI_DATAGRAM_MAGIC UINT32_C(0x44534D54)
#define TOMOSHIBI_DATAGRAM_MAX_BYTES 1408u
#define TOMOSHIBI_DATAGRAM_PORT 7117u
#define TOMOSHIBI_IMAGE_MAGIC UINT32_C(0x4D494D54)
#define TOMOSHIBI_IMAGE_MAX_BYTES UINT32_C(524288)
#define TOMOSHIBI_IMAGE_TRIES 2u
#define TOMOSHIBI_MARK_SYNCED 1u
#define TOMOSHIBI_MARK_LAST 2u

struct tomoshibi_message_header {
    uint32_t magic; /* TMSC */
    uint8_t version; /* control protocol version; another one is answered with status wrong_version */
    uint8_t kind; /* see Message kinds */
    uint16_t sequence; /* of a command: chosen by the host, another one for each new command; of a reply: the command's; of a notice: counts the module's notices, wraps */
    uint16_t code; /* command code (also in its reply), or notice code */
    uint16_t length; /* bytes of payload */
    uint32_t crc; /* CRC-32C of bytes 0 to 11, then of the payload */
};
TOMOSHIBI_STATIC_ASSERT(sizeof(struct tomoshibi_message_header) == 16,
                        message_header_size);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_message_header, magic) == 0,
                        message_header_magic_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_message_header, version) == 4,
                        message_header_version_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_message_header, kind) == 5,
                        message_header_kind_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_message_header, sequence) == 6,
                        message_header_sequence_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_message_header, code) == 8,
                        message_header_code_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_message_header, length) == 10,
                        message_header_length_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_message_header, crc) == 12,
                        message_header_crc_offset);

#define TOMOSHIBI_MESSAGE_COMMAND 1u /* host to module */
#define TOMOSHIBI_MESSAGE_REPLY 2u /* module to host: to one command, payload begins with status (u2) and detail (u2) */
#define TOMOSHIBI_MESSAGE_NOTICE 3u /* module to host, unasked */

#define TOMOSHIBI_STATUS_OK 0u /* done, or begun where it takes time */
#define TOMOSHIBI_STATUS_UNKNOWN_COMMAND 1u /* no such command in this firmware */
#define TOMOSHIBI_STATUS_BAD_LENGTH 2u /* the payload is not of this command's length */
#define TOMOSHIBI_STATUS_BAD_STATE 3u /* not allowed in the present state; detail is the state */
#define TOMOSHIBI_STATUS_BAD_VALUE 4u /* a value is out of range; detail is its place in the payload, in bytes */
#define TOMOSHIBI_STATUS_READ_ONLY 5u /* the register cannot be written; detail is its address */
#define TOMOSHIBI_STATUS_UNKNOWN_REGISTER 6u /* no such register; detail is the address */
#define TOMOSHIBI_STATUS_BUSY 7u /* something that excludes this is going on; try again */
#define TOMOSHIBI_STATUS_FAULTED 8u /* a fault is latched: clear it first; detail is the fault */
#define TOMOSHIBI_STATUS_STILL_PRESENT 9u /* the fault's cause is still there; detail is the fault */
#define TOMOSHIBI_STATUS_NO_BIAS 10u /* the SiPM bias is not on and steady */
#define TOMOSHIBI_STATUS_BAD_IMAGE 11u /* the image is truncated, damaged or not where it should be */
#define TOMOSHIBI_STATUS_WRONG_BOARD 12u /* the image is for another board; detail is that board */
#define TOMOSHIBI_STATUS_WRONG_SCHEMA 13u /* the image is of another control version; detail is the module's */
#define TOMOSHIBI_STATUS_STORAGE 14u /* the non-volatile memory could not be written */
#define TOMOSHIBI_STATUS_WRONG_VERSION 15u /* the command is of another control protocol version; detail is the module's */

#define TOMOSHIBI_STATE_BOOT 0u /* starting: checks itself and reads its configuration */
#define TOMOSHIBI_STATE_IDLE 1u /* waits for orders */
#define TOMOSHIBI_STATE_RUNNING 2u /* takes hits and sends data frames */
#define TOMOSHIBI_STATE_STOPPING 3u /* finishes the present period; its frame is the last */
#define TOMOSHIBI_STATE_FAULT 4u /* a fault is latched: bias is safe, no run; see the fault's words */
#define TOMOSHIBI_STATE_UPDATING 5u /* takes in a firmware image */

#define TOMOSHIBI_BIAS_OFF 0u /* below 1 V and not asked for */
#define TOMOSHIBI_BIAS_RAMPING 1u /* on its way to the target, at the slew limit */
#define TOMOSHIBI_BIAS_ON 2u /* at the target, within the tolerance */
#define TOMOSHIBI_BIAS_TRIPPED 3u /* switched off by a fault */

#define TOMOSHIBI_LOCK_UNLOCKED 0u /* SYNC is missing, or was not seen yet */
#define TOMOSHIBI_LOCK_LOCKED 1u /* SYNC has come with every period for long enough */

#define TOMOSHIBI_RESET_POWER_ON 0u /* power came */
#define TOMOSHIBI_RESET_SOFTWARE 1u /* asked for */
#define TOMOSHIBI_RESET_WATCHDOG 2u /* the program hung */
#define TOMOSHIBI_RESET_BROWN_OUT 3u /* the supply fell too low */

#define TOMOSHIBI_PATH_NONE 0u /* frames are counted and dropped */
#define TOMOSHIBI_PATH_SERIAL 1u /* frames share the control line: COBS, zero-delimited, told apart by their magic */
#define TOMOSHIBI_PATH_ETHERNET 2u /* frames are cut into datagrams, see Datagrams */
#define TOMOSHIBI_PATH_RING 3u /* the host reads them from shared memory, see Shared memory */

#define TOMOSHIBI_SLOT_FACTORY 0u /* the image that came with the board; cannot be updated */
#define TOMOSHIBI_SLOT_A 1u /* first update slot */
#define TOMOSHIBI_SLOT_B 2u /* second update slot */

#define TOMOSHIBI_BOARD_POSIX 1u /* a process on the host */
#define TOMOSHIBI_BOARD_MPS2_AN386 2u /* Arm MPS2+ AN386 (Cortex-M4F), also QEMU's mps2-an386 */
#define TOMOSHIBI_BOARD_TEST 3u /* inside a test program */

#define TOMOSHIBI_COMMAND_HELLO 1u /* who are you? */
#define TOMOSHIBI_COMMAND_DICTIONARY 2u /* a piece of the data dictionary: JSON, UTF-8; the identity has its length */
#define TOMOSHIBI_COMMAND_READ 3u /* a register's value */
#define TOMOSHIBI_COMMAND_WRITE 4u /* set a register; the reply has the value as it is now */
#define TOMOSHIBI_COMMAND_TELEMETRY 5u /* the state now, as in the notice */
#define TOMOSHIBI_COMMAND_BEAT 6u /* the host is alive; gives both clocks for the link's statistics */
#define TOMOSHIBI_COMMAND_RUN 10u /* take hits and send frames, from the next period mark on */
#define TOMOSHIBI_COMMAND_STOP 11u /* end the run with the period that is under way */
#define TOMOSHIBI_COMMAND_ABORT 12u /* end the run at once, without a LAST frame */
#define TOMOSHIBI_COMMAND_REPORT 13u /* the books of the present or last run */
#define TOMOSHIBI_COMMAND_BIAS 20u /* ramp the SiPM bias to this voltage at the reference temperature; 0 switches it off */
#define TOMOSHIBI_COMMAND_CLEAR_FAULT 21u /* leave the fault state, where the cause is gone */
#define TOMOSHIBI_COMMAND_FAULT_LOG 22u /* one entry of the log of faults, 0 is the newest; detail is how many there are */
#define TOMOSHIBI_COMMAND_CHANNELS_WRITE 23u /* gains of channels from first on: low 15 bits gain x 16384, bit 15 switches the channel off */
#define TOMOSHIBI_COMMAND_CHANNELS_READ 24u /* gains of channels, as written */
#define TOMOSHIBI_COMMAND_SAVE 30u /* keep the persistent registers over power cycles */
#define TOMOSHIBI_COMMAND_DEFAULTS 31u /* set all persistent registers to their defaults (not saved) */
#define TOMOSHIBI_COMMAND_RESET 32u /* switch bias off and start anew, after the reply */
#define TOMOSHIBI_COMMAND_BAUD 33u /* change the line's speed after this reply; without a good command within 1 s it goes back */
#define TOMOSHIBI_COMMAND_UPDATE_BEGIN 40u /* take an image into the slot that is not in use; the reply says which */
#define TOMOSHIBI_COMMAND_UPDATE_DATA 41u /* a piece of the image, in order */
#define TOMOSHIBI_COMMAND_UPDATE_END 42u /* verify the image; the next reset tries it */
#define TOMOSHIBI_COMMAND_UPDATE_CONFIRM 43u /* the running image is good: keep it. Without this the third start goes back to the old one */
#define TOMOSHIBI_COMMAND_UPDATE_ABORT 44u /* forget the image */

#define TOMOSHIBI_NOTICE_HELLO 1u /* at start, then each second until a command comes */
#define TOMOSHIBI_NOTICE_TELEMETRY 2u /* every telemetry_ms */
#define TOMOSHIBI_NOTICE_FAULT 3u /* a fault happened */
#define TOMOSHIBI_NOTICE_RUN_ENDED 4u /* the LAST frame was made, or the run was given up */
#define TOMOSHIBI_NOTICE_RESTING 5u /* reserved for boards with a sleep mode; not sent */

struct tomoshibi_identity {
    uint8_t protocol_version; /* of data frames */
    uint8_t control_version; /* of messages and update commands, see Control version and schema */
    uint16_t board; /* see Boards */
    uint32_t schema; /* CRC-32C of both definitions: equal means that every byte has the same meaning */
    uint32_t build; /* CRC-32C that names the build */
    uint32_t dictionary_bytes; /* length of the dictionary */
    uint32_t dictionary_crc; /* its CRC-32C */
    uint16_t module; /* module index as configured */
    uint8_t slot; /* image that runs, see Slots */
    uint8_t confirmed; /* whether that image was confirmed (the factory image always is) */
    uint8_t reset_cause; /* see Reset causes */
    uint8_t state; /* see States */
    uint16_t fault; /* latched fault, 0: none */
    uint32_t resets; /* starts since power came, this one included */
    uint32_t max_words; /* event words that a frame of this firmware holds at most */
    uint32_t serial_number; /* of the board */
};
TOMOSHIBI_STATIC_ASSERT(sizeof(struct tomoshibi_identity) == 40,
                        identity_size);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_identity, protocol_version) == 0,
                        identity_protocol_version_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_identity, control_version) == 1,
                        identity_control_version_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_identity, board) == 2,
                        identity_board_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_identity, schema) == 4,
                        identity_schema_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_identity, build) == 8,
                        identity_build_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_identity, dictionary_bytes) == 12,
                        identity_dictionary_bytes_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_identity, dictionary_crc) == 16,
                        identity_dictionary_crc_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_identity, module) == 20,
                        identity_module_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_identity, slot) == 22,
                        identity_slot_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_identity, confirmed) == 23,
                        identity_confirmed_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_identity, reset_cause) == 24,
                        identity_reset_cause_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_identity, state) == 25,
                        identity_state_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_identity, fault) == 26,
                        identity_fault_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_identity, resets) == 28,
                        identity_resets_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_identity, max_words) == 32,
                        identity_max_words_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_identity, serial_number) == 36,
                        identity_serial_number_offset);

struct tomoshibi_telemetry {
    uint64_t counter; /* module's counter, extended to 64 bits */
    uint64_t hits; /* hits taken in since the start */
    uint64_t words; /* event words sent since the start */
    uint8_t state; /* see States */
    uint8_t bias_state; /* see Bias states */
    uint8_t lock; /* see Locks */
    uint8_t flags; /* bit 0: interlock closed; bit 1: host heard */
    uint16_t fault; /* latched fault, 0: none */
    uint16_t epoch; /* temperature and bias epoch */
    uint32_t bias_mV; /* measured */
    uint32_t target_mV; /* asked for, with temperature compensation */
    uint32_t current_nA; /* measured */
    uint32_t supply_mV; /* measured */
    int32_t temperature_cC; /* 0.01 deg C, measured */
    uint32_t hit_rate; /* hits/s over the last second */
    uint32_t word_rate; /* event words/s over the last second */
    uint32_t scaler; /* comparator's crossings in the last gate of 100 ms */
    uint32_t scaler_gates; /* gates since the start */
    uint32_t period; /* the last period that ended */
    uint32_t frames; /* data frames since the start */
    uint32_t frames_dropped; /* frames for which there was no room, since the start */
    uint32_t queue_bytes; /* frames made and not sent yet */
    uint32_t bytes_in; /* on the serial line */
    uint32_t invalid_packets; /* damaged: COBS, CRC, magic or length */
    uint32_t commands; /* good commands */
    uint32_t repeats; /* commands that came twice and were answered from memory */
    uint32_t refused; /* commands answered with another status than ok */
    uint32_t marks_missed; /* period marks that did not come */
    uint32_t sync_losses; /* times that the lock was lost */
    uint32_t host_silent_ms; /* since the last good command */
    uint32_t loop_us; /* longest turn of the main loop in the last second */
    uint32_t stack_bytes; /* deepest stack so far */
    uint32_t resets; /* starts since power came */
};
TOMOSHIBI_STATIC_ASSERT(sizeof(struct tomoshibi_telemetry) == 128,
                        telemetry_size);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, counter) == 0,
                        telemetry_counter_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, hits) == 8,
                        telemetry_hits_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, words) == 16,
                        telemetry_words_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, state) == 24,
                        telemetry_state_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, bias_state) == 25,
                        telemetry_bias_state_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, lock) == 26,
                        telemetry_lock_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, flags) == 27,
                        telemetry_flags_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, fault) == 28,
                        telemetry_fault_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, epoch) == 30,
                        telemetry_epoch_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, bias_mV) == 32,
                        telemetry_bias_mV_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, target_mV) == 36,
                        telemetry_target_mV_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, current_nA) == 40,
                        telemetry_current_nA_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, supply_mV) == 44,
                        telemetry_supply_mV_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, temperature_cC) == 48,
                        telemetry_temperature_cC_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, hit_rate) == 52,
                        telemetry_hit_rate_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, word_rate) == 56,
                        telemetry_word_rate_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, scaler) == 60,
                        telemetry_scaler_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, scaler_gates) == 64,
                        telemetry_scaler_gates_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, period) == 68,
                        telemetry_period_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, frames) == 72,
                        telemetry_frames_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, frames_dropped) == 76,
                        telemetry_frames_dropped_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, queue_bytes) == 80,
                        telemetry_queue_bytes_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, bytes_in) == 84,
                        telemetry_bytes_in_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, invalid_packets) == 88,
                        telemetry_invalid_packets_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, commands) == 92,
                        telemetry_commands_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, repeats) == 96,
                        telemetry_repeats_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, refused) == 100,
                        telemetry_refused_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, marks_missed) == 104,
                        telemetry_marks_missed_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, sync_losses) == 108,
                        telemetry_sync_losses_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, host_silent_ms) == 112,
                        telemetry_host_silent_ms_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, loop_us) == 116,
                        telemetry_loop_us_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, stack_bytes) == 120,
                        telemetry_stack_bytes_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_telemetry, resets) == 124,
                        telemetry_resets_offset);

struct tomoshibi_report {
    uint32_t run_tag; /* of the run */
    uint32_t frames; /* data frames made */
    uint64_t words; /* event words in them, of every kind */
    uint64_t hits; /* hits taken in */
    uint64_t below; /* below the energy threshold */
    uint64_t dead; /* in the dead time */
    uint64_t lost; /* no room in the frame, or lost in the detector's queue */
    uint64_t masked; /* of channels that are switched off */
    uint64_t invalid; /* of a kind or channel that cannot be */
    uint64_t discarded; /* hits that came while the module took none (before the run, after a reset) */
    uint32_t frames_dropped; /* frames for which there was no room: their numbers are missing */
    uint32_t marks_missed; /* period marks that did not come */
    uint32_t first_period; /* period of the first frame */
    uint32_t last_period; /* period of the last frame */
    uint32_t sync_lost; /* frames with the flag sync_lost */
    uint8_t ended; /* 0 running, 1 by the host, 2 after its periods, 3 by the detector, 4 given up */
    uint8_t reserved; /* sent as 0 */
    uint16_t reserved_2; /* sent as 0 */
};
TOMOSHIBI_STATIC_ASSERT(sizeof(struct tomoshibi_report) == 96,
                        report_size);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, run_tag) == 0,
                        report_run_tag_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, frames) == 4,
                        report_frames_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, words) == 8,
                        report_words_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, hits) == 16,
                        report_hits_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, below) == 24,
                        report_below_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, dead) == 32,
                        report_dead_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, lost) == 40,
                        report_lost_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, masked) == 48,
                        report_masked_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, invalid) == 56,
                        report_invalid_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, discarded) == 64,
                        report_discarded_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, frames_dropped) == 72,
                        report_frames_dropped_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, marks_missed) == 76,
                        report_marks_missed_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, first_period) == 80,
                        report_first_period_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, last_period) == 84,
                        report_last_period_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, sync_lost) == 88,
                        report_sync_lost_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, ended) == 92,
                        report_ended_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, reserved) == 93,
                        report_reserved_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_report, reserved_2) == 94,
                        report_reserved_2_offset);

struct tomoshibi_fault_entry {
    uint32_t number; /* counts the faults of this board's life */
    uint16_t fault; /* see Faults */
    uint16_t state; /* state in which it happened */
    int32_t value; /* what was measured */
    int32_t limit; /* what was allowed */
    uint64_t counter; /* module's counter at that moment */
    uint32_t resets; /* starts since power came */
    uint32_t crc; /* of the entry in the non-volatile memory */
};
TOMOSHIBI_STATIC_ASSERT(sizeof(struct tomoshibi_fault_entry) == 32,
                        fault_entry_size);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_fault_entry, number) == 0,
                        fault_entry_number_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_fault_entry, fault) == 4,
                        fault_entry_fault_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_fault_entry, state) == 6,
                        fault_entry_state_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_fault_entry, value) == 8,
                        fault_entry_value_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_fault_entry, limit) == 12,
                        fault_entry_limit_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_fault_entry, counter) == 16,
                        fault_entry_counter_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_fault_entry, resets) == 24,
                        fault_entry_resets_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_fault_entry, crc) == 28,
                        fault_entry_crc_offset);

struct tomoshibi_image {
    uint32_t magic; /* TMIM */
    uint16_t board; /* see Boards */
    uint16_t control_version; /* as in the identity */
    uint32_t schema; /* as in the identity */
    uint32_t build; /* as in the identity */
    uint32_t length; /* bytes of the image without this header */
    uint32_t crc; /* CRC-32C of these bytes */
    uint32_t reserved; /* sent as 0 */
    uint32_t header_crc; /* CRC-32C of the 28 bytes before */
};
TOMOSHIBI_STATIC_ASSERT(sizeof(struct tomoshibi_image) == 32,
                        image_size);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_image, magic) == 0,
                        image_magic_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_image, board) == 4,
                        image_board_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_image, control_version) == 6,
                        image_control_version_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_image, schema) == 8,
                        image_schema_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_image, build) == 12,
                        image_build_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_image, length) == 16,
                        image_length_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_image, crc) == 20,
                        image_crc_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_image, reserved) == 24,
                        image_reserved_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_image, header_crc) == 28,
                        image_header_crc_offset);

struct tomoshibi_datagram {
    uint32_t magic; /* TMSD */
    uint16_t module; /* module index */
    uint16_t length; /* bytes of the frame in this datagram */
    uint32_t sequence; /* the frame's */
    uint32_t offset; /* where in the frame they belong */
    uint32_t frame_bytes; /* length of the whole frame */
    uint32_t number; /* counts the module's datagrams of this run, wraps */
};
TOMOSHIBI_STATIC_ASSERT(sizeof(struct tomoshibi_datagram) == 24,
                        datagram_size);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_datagram, magic) == 0,
                        datagram_magic_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_datagram, module) == 4,
                        datagram_module_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_datagram, length) == 6,
                        datagram_length_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_datagram, sequence) == 8,
                        datagram_sequence_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_datagram, offset) == 12,
                        datagram_offset_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_datagram, frame_bytes) == 16,
                        datagram_frame_bytes_offset);
TOMOSHIBI_STATIC_ASSERT(offsetof(struct tomoshibi_datagram, number) == 20,
                        datagram_number_offset);

/* X(name, code, states as bits, bytes of the request, unit of what may follow or 0) */
#define TOMOSHIBI_COMMANDS(X) \
    X(hello, 1u, 0x3Fu, 0u, 0u) \
    X(dictionary, 2u, 0x3Fu, 8u, 0u) \
    X(read, 3u, 0x3Fu, 4u, 0u) \
    X(write, 4u, 0x3Fu, 8u, 0u) \
    X(telemetry, 5u, 0x3Fu, 0u, 0u) \
    X(beat, 6u, 0x3Fu, 8u, 0u) \
    X(run, 10u, 0x02u, 16u, 0u) \
    X(stop, 11u, 0x0Cu, 0u, 0u) \
    X(abort, 12u, 0x0Cu, 0u, 0u) \
    X(report, 13u, 0x3Fu, 0u, 0u) \
    X(bias, 20u, 0x06u, 4u, 0u) \
    X(clear_fault, 21u, 0x12u, 0u, 0u) \
    X(fault_log, 22u, 0x3Fu, 4u, 0u) \
    X(channels_write, 23u, 0x02u, 4u, 2u) \
    X(channels_read, 24u, 0x3Fu, 4u, 0u) \
    X(save, 30u, 0x02u, 0u, 0u) \
    X(defaults, 31u, 0x02u, 0u, 0u) \
    X(reset, 32u, 0x32u, 0u, 0u) \
    X(baud, 33u, 0x12u, 4u, 0u) \
    X(update_begin, 40u, 0x02u, 32u, 0u) \
    X(update_data, 41u, 0x20u, 4u, 1u) \
    X(update_end, 42u, 0x20u, 0u, 0u) \
    X(update_confirm, 43u, 0x12u, 0u, 0u) \
    X(update_abort, 44u, 0x20u, 0u, 0u)
/* REQUEST_x: a field's place in the payload; REPLY_x: behind status and detail */
#define TOMOSHIBI_REQUEST_DICTIONARY_OFFSET 0u
#define TOMOSHIBI_REQUEST_DICTIONARY_COUNT 4u
#define TOMOSHIBI_REQUEST_READ_REGISTER 0u
#define TOMOSHIBI_REPLY_READ_VALUE 0u
#define TOMOSHIBI_REQUEST_WRITE_REGISTER 0u
#define TOMOSHIBI_REQUEST_WRITE_VALUE 4u
#define TOMOSHIBI_REPLY_WRITE_VALUE 0u
#define TOMOSHIBI_REQUEST_BEAT_HOST_TIME_NS 0u
#define TOMOSHIBI_REPLY_BEAT_HOST_TIME_NS 0u
#define TOMOSHIBI_REPLY_BEAT_COUNTER 8u
#define TOMOSHIBI_REQUEST_RUN_RUN_TAG 0u
#define TOMOSHIBI_REQUEST_RUN_PERIODS 4u
#define TOMOSHIBI_REQUEST_RUN_FIRST_SEQUENCE 8u
#define TOMOSHIBI_REQUEST_BIAS_TARGET_MV 0u
#define TOMOSHIBI_REQUEST_FAULT_LOG_INDEX 0u
#define TOMOSHIBI_REQUEST_CHANNELS_WRITE_FIRST 0u
#define TOMOSHIBI_REQUEST_CHANNELS_WRITE_COUNT 2u
#define TOMOSHIBI_REPLY_CHANNELS_WRITE_CHECKSUM 0u
#define TOMOSHIBI_REQUEST_CHANNELS_READ_FIRST 0u
#define TOMOSHIBI_REQUEST_CHANNELS_READ_COUNT 2u
#define TOMOSHIBI_REQUEST_BAUD_BAUD 0u
#define TOMOSHIBI_REPLY_UPDATE_BEGIN_SLOT 0u
#define TOMOSHIBI_REQUEST_UPDATE_DATA_OFFSET 0u
#define TOMOSHIBI_REPLY_UPDATE_DATA_NEXT 0u
#define TOMOSHIBI_REPLY_UPDATE_END_SLOT 0u

#define TOMOSHIBI_FAULT_NONE 0u
#define TOMOSHIBI_FAULT_OVERCURRENT 1u /* bias current above current_trip_nA */
#define TOMOSHIBI_FAULT_OVER_TEMPERATURE 2u /* temperature above temperature_trip_cC */
#define TOMOSHIBI_FAULT_INTERLOCK 3u /* the interlock is open */
#define TOMOSHIBI_FAULT_HOST_LOST 4u /* no good command for host_timeout_ms while bias was on or a run was on */
#define TOMOSHIBI_FAULT_BROWN_OUT 5u /* the supply fell below supply_min_mV */
#define TOMOSHIBI_FAULT_WATCHDOG 6u /* the program hung and was reset */
#define TOMOSHIBI_FAULT_REGULATION 7u /* the bias does not follow its set value */
#define TOMOSHIBI_FAULT_OVER_VOLTAGE 8u /* the bias is above bias_max_mV */
#define TOMOSHIBI_FAULT_STACK 9u /* the stack reached its guard */
#define TOMOSHIBI_FAULT_CONFIG_DEFAULTS 20u /* both copies of the configuration are damaged: defaults are in force */
#define TOMOSHIBI_FAULT_CONFIG_OLDER 21u /* the newer copy of the configuration is damaged: the older one is in force */
#define TOMOSHIBI_FAULT_ROLLED_BACK 22u /* the new firmware was not confirmed: the old one runs again */
#define TOMOSHIBI_FAULT_IMAGE_DAMAGED 23u /* a slot's image is damaged: another one runs */
#define TOMOSHIBI_FAULT_SYNC_LOST 24u /* SYNC is missing; frames say so */
#define TOMOSHIBI_FAULT_DETECTOR_SILENT 25u /* no period mark from the detector for 2 s of a run */
#define TOMOSHIBI_FAULT_LOG_DAMAGED 26u /* entries of the fault log were damaged and left out */
#define TOMOSHIBI_FAULT_CONFIG_VALUE 27u /* a saved value is out of range: its register (the value is its address) has its default */

/* X(fault, latch, safe) of every fault */
#define TOMOSHIBI_FAULTS(X) \
    X(1u, 1u, 1u) \
    X(2u, 1u, 1u) \
    X(3u, 1u, 1u) \
    X(4u, 1u, 1u) \
    X(5u, 1u, 1u) \
    X(6u, 1u, 1u) \
    X(7u, 1u, 1u) \
    X(8u, 1u, 1u) \
    X(9u, 1u, 1u) \
    X(20u, 0u, 0u) \
    X(21u, 0u, 0u) \
    X(22u, 0u, 0u) \
    X(23u, 0u, 0u) \
    X(24u, 0u, 0u) \
    X(25u, 0u, 0u) \
    X(26u, 0u, 0u) \
    X(27u, 0u, 0u)

#define TOMOSHIBI_REGISTER_PERSISTENT 1u
#define TOMOSHIBI_REGISTER_IDLE_ONLY 2u
#define TOMOSHIBI_REGISTER_READ_ONLY 4u
#define TOMOSHIBI_REGISTER_COUNT 23u
/* REG_x: address on the wire; REGI_x: place in the table of all registers */
#define TOMOSHIBI_REG_MODULE 1u
#define TOMOSHIBI_REGI_MODULE 0u /* module index in the scanner */
#define TOMOSHIBI_REG_DATA_PATH 2u
#define TOMOSHIBI_REGI_DATA_PATH 1u /* see Data paths */
#define TOMOSHIBI_REG_TELEMETRY_MS 3u
#define TOMOSHIBI_REGI_TELEMETRY_MS 2u /* between telemetry notices [ms] */
#define TOMOSHIBI_REG_HOST_TIMEOUT_MS 4u
#define TOMOSHIBI_REGI_HOST_TIMEOUT_MS 3u /* silence of the host after which bias is switched off [ms] */
#define TOMOSHIBI_REG_ENERGY_THRESHOLD 10u
#define TOMOSHIBI_REGI_ENERGY_THRESHOLD 4u /* hits below, after their channel's gain, are counted and dropped [0.1 keV] */
#define TOMOSHIBI_REG_COMPARATOR_MV 11u
#define TOMOSHIBI_REGI_COMPARATOR_MV 5u /* threshold of the timing comparator, which the scaler counts [mV] */
#define TOMOSHIBI_REG_DEAD_TIME_TICKS 12u
#define TOMOSHIBI_REGI_DEAD_TIME_TICKS 6u /* after each accepted hit [625/32 ps] */
#define TOMOSHIBI_REG_DEAD_TIME_SCOPE 13u
#define TOMOSHIBI_REGI_DEAD_TIME_SCOPE 7u /* 0: of the whole module; 1: of each channel */
#define TOMOSHIBI_REG_PARALYSABLE 14u
#define TOMOSHIBI_REGI_PARALYSABLE 8u /* 1: a hit in the dead time prolongs it */
#define TOMOSHIBI_REG_QUEUE_WORDS 15u
#define TOMOSHIBI_REGI_QUEUE_WORDS 9u /* event words in a frame at most; more are lost and counted [words] */
#define TOMOSHIBI_REG_CHANNELS 16u
#define TOMOSHIBI_REGI_CHANNELS 10u /* channels of the module; hits of others are invalid */
#define TOMOSHIBI_REG_BIAS_MAX_MV 20u
#define TOMOSHIBI_REGI_BIAS_MAX_MV 11u /* highest bias that can be asked for [mV] */
#define TOMOSHIBI_REG_BIAS_SLEW 21u
#define TOMOSHIBI_REGI_BIAS_SLEW 12u /* slew limit, up and down (a fault switches off at once) [mV/s] */
#define TOMOSHIBI_REG_BIAS_TOLERANCE_MV 22u
#define TOMOSHIBI_REGI_BIAS_TOLERANCE_MV 13u /* distance from the set value that counts as on; five times this for 200 ms is a fault [mV] */
#define TOMOSHIBI_REG_CURRENT_TRIP_NA 23u
#define TOMOSHIBI_REGI_CURRENT_TRIP_NA 14u /* bias current that trips [nA] */
#define TOMOSHIBI_REG_TEMPERATURE_TRIP_CC 24u
#define TOMOSHIBI_REGI_TEMPERATURE_TRIP_CC 15u /* temperature that trips [0.01 deg C] */
#define TOMOSHIBI_REG_TEMPERATURE_REFERENCE_CC 25u
#define TOMOSHIBI_REGI_TEMPERATURE_REFERENCE_CC 16u /* temperature for which the bias is asked for [0.01 deg C] */
#define TOMOSHIBI_REG_TEMPERATURE_COEFFICIENT 26u
#define TOMOSHIBI_REGI_TEMPERATURE_COEFFICIENT 17u /* bias added per kelvin above the reference: keeps the overvoltage [mV/K] */
#define TOMOSHIBI_REG_EPOCH_BAND_CC 27u
#define TOMOSHIBI_REGI_EPOCH_BAND_CC 18u /* a temperature further than this from the epoch's first begins a new epoch; so does a change of bias or gain [0.01 deg C] */
#define TOMOSHIBI_REG_SUPPLY_MIN_MV 28u
#define TOMOSHIBI_REGI_SUPPLY_MIN_MV 19u /* supply below which bias is switched off [mV] */
#define TOMOSHIBI_REG_SYNC_LOCK_COUNT 30u
#define TOMOSHIBI_REGI_SYNC_LOCK_COUNT 20u /* SYNC pulses in a row that make a lock [periods] */
#define TOMOSHIBI_REG_SYNC_LOSS_COUNT 31u
#define TOMOSHIBI_REGI_SYNC_LOSS_COUNT 21u /* missing SYNC pulses in a row that lose it [periods] */
#define TOMOSHIBI_REG_CHANNELS_CHECKSUM 40u
#define TOMOSHIBI_REGI_CHANNELS_CHECKSUM 22u /* CRC-32C of all channels' gains, as signed number */

/* X(address, least, greatest, default, flags), in order of address */
#define TOMOSHIBI_REGISTERS(X) \
    X(1u, INT32_C(0), INT32_C(65535), INT32_C(0), 3u) \
    X(2u, INT32_C(0), INT32_C(3), INT32_C(1), 3u) \
    X(3u, INT32_C(20), INT32_C(60000), INT32_C(500), 1u) \
    X(4u, INT32_C(100), INT32_C(60000), INT32_C(3000), 1u) \
    X(10u, INT32_C(0), INT32_C(16383), INT32_C(500), 1u) \
    X(11u, INT32_C(0), INT32_C(1000), INT32_C(20), 1u) \
    X(12u, INT32_C(0), INT32_C(51200000), INT32_C(8960), 3u) \
    X(13u, INT32_C(0), INT32_C(1), INT32_C(0), 3u) \
    X(14u, INT32_C(0), INT32_C(1), INT32_C(0), 3u) \
    X(15u, INT32_C(1), INT32_C(65536), INT32_C(65536), 3u) \
    X(16u, INT32_C(1), INT32_C(4096), INT32_C(4096), 3u) \
    X(20u, INT32_C(0), INT32_C(80000), INT32_C(60000), 3u) \
    X(21u, INT32_C(100), INT32_C(100000), INT32_C(20000), 1u) \
    X(22u, INT32_C(10), INT32_C(5000), INT32_C(200), 1u) \
    X(23u, INT32_C(1000), INT32_C(10000000), INT32_C(500000), 1u) \
    X(24u, INT32_C(0), INT32_C(9000), INT32_C(4500), 1u) \
    X(25u, INT32_C(-2000), INT32_C(6000), INT32_C(2500), 1u) \
    X(26u, INT32_C(0), INT32_C(200), INT32_C(22), 1u) \
    X(27u, INT32_C(10), INT32_C(2000), INT32_C(200), 1u) \
    X(28u, INT32_C(3000), INT32_C(12000), INT32_C(4500), 1u) \
    X(30u, INT32_C(1), INT32_C(1000), INT32_C(8), 1u) \
    X(31u, INT32_C(1), INT32_C(1000), INT32_C(2), 1u) \
    X(40u, INT32_MIN, INT32_C(2147483647), INT32_C(0), 4u)

/* the memory that a module shares with its detector and its host */
#define TOMOSHIBI_WINDOW_BYTES UINT32_C(0x01000000)
#define TOMOSHIBI_WINDOW_WORLD UINT32_C(0x00000000)
#define TOMOSHIBI_WINDOW_HIT_RING UINT32_C(0x00001000)
#define TOMOSHIBI_WINDOW_FRAME_RING UINT32_C(0x00002000)
#define TOMOSHIBI_WINDOW_NV UINT32_C(0x00010000)
#define TOMOSHIBI_WINDOW_NV_BYTES UINT32_C(0x00010000)
#define TOMOSHIBI_WINDOW_SLOT_A UINT32_C(0x00100000)
#define TOMOSHIBI_WINDOW_SLOT_B UINT32_C(0x00200000)
#define TOMOSHIBI_WINDOW_HIT_DATA UINT32_C(0x00400000)
#define TOMOSHIBI_WINDOW_HIT_WORDS UINT32_C(0x00080000)
#define TOMOSHIBI_WINDOW_FRAME_DATA UINT32_C(0x00800000)
#define TOMOSHIBI_WINDOW_FRAME_BYTES UINT32_C(0x00800000)
#define TOMOSHIBI_RING_HEAD 0x00u /* written by the producer: words (hits) or bytes (frames) ever put in */
#define TOMOSHIBI_RING_TAIL 0x40u /* written by the consumer: words or bytes ever taken out */
#define TOMOSHIBI_RING_LOST 0x80u /* hits that the detector could not put in, ever */
#define TOMOSHIBI_RING_DISCARDED 0xC0u /* words that the module threw away because it took none */
#define TOMOSHIBI_RING_GATE 0x100u /* written by the module: run_tag while it takes hits, else 0 */
#define TOMOSHIBI_WORLD_MAGIC 0x00u /* TSMW: the page is set up */
#define TOMOSHIBI_WORLD_SUPPLY_MV 0x04u /* supply of the board */
#define TOMOSHIBI_WORLD_AMBIENT_CC 0x08u /* 0.01 deg C of the detector, signed */
#define TOMOSHIBI_WORLD_INTERLOCK_CLOSED 0x0Cu /* 0: open */
#define TOMOSHIBI_WORLD_SHORT_UA 0x10u /* current of a short behind the bias */
#define TOMOSHIBI_WORLD_BIAS_STUCK 0x14u /* 1: the bias supply does not follow */
#define TOMOSHIBI_WORLD_FREEZE 0x18u /* 1: the program hangs; the board sets it to 0 as it does */
#define TOMOSHIBI_WORLD_COUNTER_START 0x1Cu /* the counter's value at power on */
#define TOMOSHIBI_WORLD_LIGHT_UA 0x20u /* photocurrent in the SiPMs at 3 V overvoltage */
#define TOMOSHIBI_WORLD_NV_BROKEN 0x24u /* 1: the non-volatile memory refuses writes */
#define TOMOSHIBI_WORLD_SERIAL_NUMBER 0x28u /* of the board */
#define TOMOSHIBI_WORLD_POWER 0x2Cu /* 0: the supply is off; a board that sees it goes down as with a brown-out */
#define TOMOSHIBI_WORLD_BREAKDOWN_MV 0x30u /* SiPM breakdown voltage at 25 deg C */
#define TOMOSHIBI_WORLD_SHOWN_BIAS_MV 0x80u /* board: bias at the SiPMs */
#define TOMOSHIBI_WORLD_SHOWN_DAC_MV 0x84u /* board: what the bias supply was told */
#define TOMOSHIBI_WORLD_SHOWN_STATE 0x88u /* board: state */
#define TOMOSHIBI_WORLD_SHOWN_STARTS 0x8Cu /* board: starts ever */
#define TOMOSHIBI_WORLD_SHOWN_ALIVE 0x90u /* board: counts turns of the main loop */
#define TOMOSHIBI_WORLD_MAGIC_VALUE UINT32_C(0x574D5354)

#endif /* TOMOSHIBI_CONTROL_H */
