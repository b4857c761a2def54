// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Which inode is really behind a mapping. Two containers over one image see the interpreter under
// two device numbers of their overlays, but a probe goes to the one inode below: attached by both
// views it would fire twice. The kernel's own mapping names that inode.
#include "state.bpf.h"

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct seq_file;

struct bpf_iter_meta {
  struct seq_file *seq;
};

struct vm_area_struct {
  unsigned long vm_start;
  struct file *vm_file;
};

struct bpf_iter__task_vma {
  struct bpf_iter_meta *meta;
  struct task_struct *task;
  struct vm_area_struct *vma;
};
#pragma clang attribute pop

__u32 wanted_tgid = 0;  // what the next reading is about
__u64 wanted_start = 0;

SEC("iter/task_vma")
int mapped_file(struct bpf_iter__task_vma *ctx) {
  struct task_struct *task = ctx->task;
  struct vm_area_struct *vma = ctx->vma;
  struct ls_real_file real = {};
  struct inode *inode;
  if (!task || !vma) return 0;
  if ((__u32)BPF_CORE_READ(task, tgid) != wanted_tgid ||
      BPF_CORE_READ(vma, vm_start) != wanted_start)
    return 0;
  inode = BPF_CORE_READ(vma, vm_file, f_inode);
  if (!inode) return 0;
  real.inode = BPF_CORE_READ(inode, i_ino);
  real.device = BPF_CORE_READ(inode, i_sb, s_dev);
  bpf_seq_write(ctx->meta->seq, &real, sizeof(real));
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
