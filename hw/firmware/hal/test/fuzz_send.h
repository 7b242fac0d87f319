/* SPDX-License-Identifier: Apache-2.0
 *
 * What happens in a fuzzed life: commands good and bad, noise, weather, hits.
 */
#ifndef TOMOSHIBI_FUZZ_SEND_H
#define TOMOSHIBI_FUZZ_SEND_H

void fuzz_send_begin(void);     /* a life begins */
void fuzz_step(void);           /* something happens to the module */
void fuzz_send_hello(void);     /* undamaged */

#endif
