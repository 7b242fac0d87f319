/* SPDX-License-Identifier: Apache-2.0
 *
 * See intake.h. One loop, `take`, is written once and compiled for each kind of run, so that the
 * plain run (all gains one, the module's own dead time, not paralysable) pays for nothing that it
 * does not use: all its state is in registers, and only the word itself is read and written.
 * A hit's word is handled as two halves of 32 bits, as the target's registers are.
 */
#include "events/intake.h"

#include "events/channels.h"
#include "events/frame.h"
#include "state/module.h"
#include "state/registers.h"

#if defined(__GNUC__)
#define INLINE inline __attribute__((always_inline))
#else
#define INLINE inline
#endif

#define HIGH_KIND_SHIFT (TOMOSHIBI_WORD_KIND_SHIFT - 32u)
#define HIGH_FLAGS_SHIFT (TOMOSHIBI_WORD_FLAGS_SHIFT - 32u)
#define HIGH_CHANNEL_SHIFT (TOMOSHIBI_WORD_CRYSTAL_SHIFT - 32u)
#define LOW_ENERGY_SHIFT TOMOSHIBI_WORD_ENERGY_SHIFT
#define LOW_ENERGY_BITS (32u - LOW_ENERGY_SHIFT)
#define HIGH_ENERGY_MASK (TOMOSHIBI_WORD_ENERGY_MASK >> LOW_ENERGY_BITS)
#define LOW_TIME_MASK TOMOSHIBI_WORD_TIME_MASK
#define SATURATED TOMOSHIBI_WORD_ENERGY_MASK
#define HIGH_SATURATED (TOMOSHIBI_WORD_FLAG_SATURATED << HIGH_FLAGS_SHIFT)

/* What a loop is compiled for; the bits that are set cost time. */
#define WITH_GAINS 1u
#define WITH_CHANNELS 2u    /* dead time of each channel */
#define WITH_PARALYSIS 4u   /* as the register says */
#define WITHOUT_WORDS 8u    /* none goes into the frame: it is full, or is dropped */

void intake_begin(struct module *m)
{
    struct intake *k = &m->run.intake;
    k->hits = 0;
    k->below = 0;
    k->dead = 0;
    k->masked = 0;
    k->invalid = 0;
    k->channels = (uint32_t)register_get(m, TOMOSHIBI_REGI_CHANNELS);
    k->plain = m->run.channels.special == 0 && k->channels == CHANNELS_MOST;
    k->threshold = (uint32_t)register_get(m, TOMOSHIBI_REGI_ENERGY_THRESHOLD);
}

static INLINE uint32_t energy_code(uint32_t high, uint32_t low)
{
    return ((high & HIGH_ENERGY_MASK) << LOW_ENERGY_BITS) | (low >> LOW_ENERGY_SHIFT);
}

/* The energy in 0.1 keV, SATURATED at most. */
static INLINE uint32_t with_gain(uint32_t code, uint32_t gain)
{
    uint32_t energy = (code * (gain & CHANNELS_GAIN_MASK)) >> CHANNELS_GAIN_SHIFT;
    return energy < SATURATED ? energy : SATURATED;
}

/* Take singles until a word is of another kind or `count` are taken; returns how many. Where words
 * go into the frame, it has room for `count`. */
static INLINE uint32_t take(struct module *m, const uint64_t *in, uint32_t count,
                            const uint32_t how)
{
    struct intake *k = &m->run.intake;
    struct dead_time *d = &m->run.dead_time;
    struct frame *f = &m->run.frame;
    const uint16_t *gains = m->run.channels.gains;
    const uint64_t *const begin = in, *const stop = in + count;
    const uint32_t threshold = k->threshold, channels = k->channels, ticks = d->ticks;
    const uint32_t base = how & WITH_CHANNELS ? d->base : 0u;
    uint32_t below = 0, dead = 0, masked = 0, invalid = 0, made;
    uint32_t end = d->ends[0] - d->base; /* the module's own counts from the period's start */
    uint32_t *ends = d->ends;
    uint64_t prolonged = 0;
    uint64_t *out = how & WITHOUT_WORDS ? 0 : f->words + f->count;
    for (; in < stop; in++) {
        uint32_t high = (uint32_t)(*in >> 32), low = (uint32_t)*in;
        const uint32_t channel = (high >> HIGH_CHANNEL_SHIFT) & TOMOSHIBI_WORD_CRYSTAL_MASK;
        const uint32_t time = base + (low & LOW_TIME_MASK);
        uint32_t energy = energy_code(high, low);
        if (high >> HIGH_KIND_SHIFT != TOMOSHIBI_KIND_SINGLE) {
            break;
        }
        if (how & WITH_GAINS) {
            const uint32_t gain = gains[channel];
            if (channel >= channels) {
                invalid++;
                continue;
            }
            if (gain & CHANNELS_OFF) {
                masked++;
                continue;
            }
            energy = with_gain(energy, gain);
            high = (high & ~HIGH_ENERGY_MASK) | (energy >> LOW_ENERGY_BITS);
            low = (low & LOW_TIME_MASK) | (energy << LOW_ENERGY_SHIFT);
        }
        if (energy < threshold) {
            below++;
            continue;
        }
        if (how & WITH_CHANNELS) {
            ends = d->ends + (channel & d->mask);
            end = *ends;
        }
        if ((end - time - 1u) / 2u < ticks) {
            dead++;
            if (!(how & WITH_PARALYSIS) || !d->paralysable || time + ticks - end > ticks) {
                continue;
            }
            prolonged += time + ticks - end;
            *ends = time + ticks;
            continue;
        }
        end = time + ticks;
        if (how & WITH_CHANNELS) {
            *ends = end;
        }
        if (!(how & WITHOUT_WORDS)) {
            high |= energy == SATURATED ? HIGH_SATURATED : 0u;
            *out++ = ((uint64_t)high << 32) | low;
        }
    }
    count = (uint32_t)(in - begin);
    made = count - below - dead - masked - invalid;
    if (!(how & WITH_CHANNELS)) {
        d->ends[0] = end + d->base;
    }
    d->sum += (uint64_t)ticks * made + prolonged;
    k->hits += count;
    k->below += below;
    k->dead += dead;
    k->masked += masked;
    k->invalid += invalid;
    f->dead += dead;
    if (f->count < f->most) {
        f->count += made;
    } else {
        f->lost += made;
    }
    return count;
}

static uint32_t take_plain(struct module *m, const uint64_t *in, uint32_t count)
{
    return take(m, in, count, 0u);
}

static uint32_t take_with_gains(struct module *m, const uint64_t *in, uint32_t count)
{
    return take(m, in, count, WITH_GAINS);
}

static uint32_t take_by_channel(struct module *m, const uint64_t *in, uint32_t count)
{
    return take(m, in, count, WITH_CHANNELS);
}

static uint32_t take_any(struct module *m, const uint64_t *in, uint32_t count)
{
    return take(m, in, count, WITH_GAINS | WITH_CHANNELS | WITH_PARALYSIS);
}

static uint32_t take_without_words(struct module *m, const uint64_t *in, uint32_t count)
{
    return take(m, in, count, WITH_GAINS | WITH_CHANNELS | WITH_PARALYSIS | WITHOUT_WORDS);
}

static uint32_t take_singles(struct module *m, const uint64_t *in, uint32_t count)
{
    const struct run *r = &m->run;
    uint32_t room = r->frame.most - r->frame.count;
    count = room > 0u && room < count ? room : count;
    if (room == 0u || !r->frame.words) {
        return take_without_words(m, in, count);
    }
    if (r->dead_time.paralysable || (r->dead_time.mask && !r->intake.plain)) {
        return take_any(m, in, count);
    }
    if (r->dead_time.mask) {
        return take_by_channel(m, in, count);
    }
    return r->intake.plain ? take_plain(m, in, count) : take_with_gains(m, in, count);
}

/* A word that is neither a single nor a mark. */
static void take_other(struct module *m, uint64_t word)
{
    struct frame *f = &m->run.frame;
    uint32_t kind = (uint32_t)(word >> TOMOSHIBI_WORD_KIND_SHIFT);
    if (kind != TOMOSHIBI_KIND_GATE && kind != TOMOSHIBI_KIND_ANGLE) {
        m->run.intake.hits++;
        m->run.intake.invalid++;
        return;
    }
    if (f->count == f->most) {
        m->run.intake.hits++;
        f->lost++;
        return;
    }
    if (f->words) {
        f->words[f->count] = word;
    }
    f->count++;
    f->others++;
}

uint32_t intake_take(struct module *m, const uint64_t *words, uint32_t count)
{
    uint32_t taken = 0;
    m->run.intake.threshold = (uint32_t)register_get(m, TOMOSHIBI_REGI_ENERGY_THRESHOLD);
    while (taken < count) {
        uint32_t kind = (uint32_t)(words[taken] >> TOMOSHIBI_WORD_KIND_SHIFT);
        if (kind == TOMOSHIBI_KIND_SINGLE) {
            taken += take_singles(m, words + taken, count - taken);
        } else if (kind == TOMOSHIBI_KIND_SYNC) {
            break;
        } else {
            take_other(m, words[taken]);
            taken++;
        }
    }
    frame_take_crc(&m->run.frame);
    return taken;
}
