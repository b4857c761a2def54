// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// What tells one code object from another that takes its place in memory: how much code it has,
// which constants and names, from which file, on which line, and the letters of its own name, since
// code.replace() may change that alone, and the new string may take the old one's place as well.
// Both sides compute it.
#ifndef LOOPSIGHT_BPF_CODE_IDENTITY_H
#define LOOPSIGHT_BPF_CODE_IDENTITY_H

#include "wire.h"

static inline __u64 ls_field(const unsigned char *bytes, __u16 offset) {
  __u64 word;
  __builtin_memcpy(&word, bytes + (offset & (LS_HEAD_BYTES - 1)), sizeof(word));
  return word;
}

static inline __u32 ls_mix(__u32 hash, __u64 word) {
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

// Of a string, whose LS_NAME_HEAD_BYTES from its length on are in `text`: how long it is and its
// first letters. What else is there changes while it lives (its hash, what is cached of it).
static inline __u32 ls_mix_name(const struct ls_python *python, __u32 hash,
                                const unsigned char *text) {
  __u64 length = ls_field(text, 0), word;
  __u32 state = (__u32)ls_field(text, (python->text_state - python->text_length) & 63);
  __u32 from =
      ((state >> 6 & 1 ? python->text_ascii : python->text_other) - python->text_length) & 63;
  __u32 left = length > LS_NAME_LETTERS ? LS_NAME_LETTERS : (__u32)length;
  left *= state >> 2 & 7;
  hash = ls_mix(hash, length);
  for (__u32 i = 0; i < LS_NAME_LETTERS / 8; i++) {
    if (left <= 8 * i) break;
    word = ls_field(text, (__u16)(from + 8 * i));
    if (left < 8 * i + 8) word &= (1ULL << (8 * (left - 8 * i))) - 1;
    hash = ls_mix(hash, word);
  }
  return hash;
}

// Of a code object, whose first ls_code_head_bytes() are at the beginning of a buffer of
// LS_CODE_BUFFER bytes, and the LS_NAME_HEAD_BYTES of its name at LS_CODE_NAME_AT, 0 where they
// could not be read; 0 where its type is not the code type.
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
  hash = ls_mix_name(python, hash, head + LS_CODE_NAME_AT);
  return hash | 1;
}

#endif
