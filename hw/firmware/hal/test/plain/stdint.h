/* SPDX-License-Identifier: Apache-2.0
 *
 * Stands in for the compiler's stdint.h where headers are read by cffi, which knows the types.
 */
#define UINT8_C(c) c
#define UINT16_C(c) c
#define UINT32_C(c) c
#define UINT64_C(c) c
#define INT32_C(c) c
#define INT64_C(c) c
