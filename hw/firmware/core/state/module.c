/* SPDX-License-Identifier: Apache-2.0
 *
 * See module.h.
 */
#include "state/module.h"

#include "hal.h"

uint64_t module_clock(const struct module *m)
{
    return m->now + (uint32_t)(hal_counter() - (uint32_t)m->now);
}

void module_state(struct module *m, uint32_t state)
{
    m->state = state;
    hal_show(state);
}

uint32_t module_host_silent_ms(const struct module *m)
{
    uint64_t ticks = m->now - m->host_heard_at;
    uint64_t ms;
    if (ticks <= UINT32_MAX) { /* nearly always, and much cheaper */
        return (uint32_t)ticks / MODULE_TICKS_PER_MS;
    }
    ms = ticks / MODULE_TICKS_PER_MS;
    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}
