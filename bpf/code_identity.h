// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What tells one code object from another that takes its place in memory: how much code it has,
// which constants and names, from which file, on which line, and which strings its own name and
// line table are, since code.replace() may change these alone. Both sides compute it.
#ifndef LOOPSIGHT_BPF_CODE_IDENTITY_H
#define LOOPSIGHT_BPF_CODE_IDENTITY_H

#include "wire.h"

static inline __u64 ls_field(const unsigned char *bytes, __u16 offset) {
  __u64 word;
  __builtin_memcpy(&word, bytes + (offset & (LS_HEAD_BYTES - 1)), sizeof(word));
  return word;
}

static inline __u32 ls_mix(__u32 hash, __u64 word) {
  // One word after the other: read all at once they would take a hundred bytes of the stack, of
  // which all functions that are open at once have 512.
  __asm__ volatile("" : "+r"(hash) : : "memory");
  __u64 mixed = (word ^ hash) * 0x9e3779b97f4a7c15ULL;
  return (__u32)(mixed >> 32);
}

static inline __u64 ls_wide_field(const unsigned char *bytes, __u16 offset) {
  __u64 word;
  __builtin_memcpy(&word, bytes + (offset & (2 * LS_HEAD_BYTES - 1)), sizeof(word));
  return word;
}

// How much to read of a code object: as far as its line table.
static inline __u32 ls_code_head_bytes(const struct ls_python *python) {
  return (python->code_lines + 8U) & (2 * LS_HEAD_BYTES - 1);
}

// Of the first ls_code_head_bytes() of a code object, in a buffer of LS_CODE_BUFFER bytes; 0 where
// its type is not the code type.
static inline __u32 ls_code_identity(const struct ls_python *python, const unsigned char *head) {
  __u16 line = python->code_first_line & ~7;
  __u32 hash = 1;
  if (ls_field(head, python->object_type) != python->code_type) return 0;
  hash = ls_mix(hash, ls_field(head, python->object_bytes));
  hash = ls_mix(hash, ls_field(head, python->object_bytes + 8));
  hash = ls_mix(hash, ls_field(head, python->object_bytes + 16));
  hash = ls_mix(hash, ls_field(head, line));
  hash = ls_mix(hash, ls_field(head, line + 8));
  hash = ls_mix(hash, ls_wide_field(head, python->code_filename));
  hash = ls_mix(hash, ls_wide_field(head, python->code_name));
  hash = ls_mix(hash, ls_wide_field(head, python->code_lines));
  return hash | 1;
}

#endif
