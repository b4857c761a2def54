// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// When each descriptor of a loop becomes ready while the loop is busy. Two hooks show it: the
// callback by which epoll hears of every kind of descriptor, where the kernel lets a program be
// attached to it, else the sockets' own tracepoint. Every event of the host pays for either, so
// they are optional and off unless asked for.
#include "victims.bpf.h"

static __always_inline void ls_became_ready(struct epitem *item) {
  struct ls_arrival_key key = {.instance = (__u64)BPF_CORE_READ(item, ep)};
  __u32 *row = bpf_map_lookup_elem(&instances, &key.instance);
  struct ls_arrival fresh, *known;
  struct ls_loop *loop;
  if (!row) return;
  loop = ls_row(*row);
  if (!loop || loop->instance != key.instance || !ls_in_busy_phase(loop)) return;
  key.data = BPF_CORE_READ(item, event.data);
  known = bpf_map_lookup_elem(&arrivals, &key);
  fresh.phase_start_ns = loop->phase_start_ns;
  if (known && known->phase_start_ns == fresh.phase_start_ns) return;
  fresh.time_ns = bpf_ktime_get_ns();
  bpf_map_update_elem(&arrivals, &key, &fresh, BPF_ANY);
}

#define LS_MAX_EPOLLS 4  // epoll instances that watch one socket

SEC("tp_btf/sk_data_ready")
int delays_socket(__u64 *ctx) {
  struct sock *sk = (void *)ctx[0];
  struct hlist_node *node = BPF_CORE_READ(sk, sk_socket, file, f_ep, first);
  for (int i = 0; i < LS_MAX_EPOLLS; i++) {
    if (!node) break;
    ls_became_ready((void *)((char *)node - bpf_core_field_offset(struct epitem, fllink)));
    node = BPF_CORE_READ(node, next);
  }
  return 0;
}

// int ep_poll_callback(wait_queue_entry_t *wait, unsigned mode, int sync, void *key)
SEC("fentry/ep_poll_callback")
int delays_epoll(__u64 *ctx) {
  char *wait = (void *)ctx[0];
  struct eppoll_entry *entry = (void *)(wait - bpf_core_field_offset(struct eppoll_entry, wait));
  struct epitem *item = BPF_CORE_READ(entry, base);
  __u32 flags = (__u32)ctx[3];  // 0: not told
  if (!flags || flags & BPF_CORE_READ(item, event.events)) ls_became_ready(item);
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
