/* SPDX-License-Identifier: Apache-2.0
 *
 * Stands in for the compiler's stddef.h where headers are read by cffi.
 */
