/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "posix.h"

struct kept *kept;

int kept_map(int file)
{
    void *memory = mmap(NULL, sizeof *kept, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) {
        return -1;
    }
    kept = memory;
    return 0;
}

int kept_make(void)
{
    int file = memfd_create("kept", 0);
    if (file < 0 || ftruncate(file, sizeof *kept) != 0 || kept_map(file) != 0) {
        return -1;
    }
    kept->magic = KEPT_MAGIC;
    kept->version = KEPT_VERSION;
    kept->powered = 1;
    kept->starts = 1;
    kept->line = kept->listener = kept->network = NO_FILE;
    kept->program = open("/proc/self/exe", O_RDONLY);
    return file;
}
