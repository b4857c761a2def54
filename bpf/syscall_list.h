// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Each system call that can sleep and the kind of what it waits on, as LS_CALL(number, kind) lines:
// included where LS_CALL says what becomes of them (syscall_kinds.h).
// Numbers in digits are of calls that the headers of Linux 5.15 lack, or may.
LS_CALL(__NR_nanosleep, LS_WAIT_SLEEP)
LS_CALL(__NR_clock_nanosleep, LS_WAIT_SLEEP)
LS_CALL(__NR_pause, LS_WAIT_SLEEP)

LS_CALL(__NR_futex, LS_WAIT_LOCK)
LS_CALL(449, LS_WAIT_LOCK)  // futex_waitv
LS_CALL(455, LS_WAIT_LOCK)  // futex_wait
LS_CALL(__NR_flock, LS_WAIT_LOCK)
LS_CALL(__NR_semop, LS_WAIT_LOCK)
LS_CALL(__NR_semtimedop, LS_WAIT_LOCK)
LS_CALL(__NR_fcntl, LS_WAIT_FCNTL)

LS_CALL(__NR_wait4, LS_WAIT_CHILD)
LS_CALL(__NR_waitid, LS_WAIT_CHILD)
// The parent waits in these for a child that has its memory (CLONE_VFORK).
LS_CALL(__NR_vfork, LS_WAIT_CHILD)
LS_CALL(__NR_clone, LS_WAIT_CHILD)
LS_CALL(435, LS_WAIT_CHILD)  // clone3

LS_CALL(__NR_select, LS_WAIT_POLL)
LS_CALL(__NR_pselect6, LS_WAIT_POLL)
LS_CALL(__NR_poll, LS_WAIT_POLL)
LS_CALL(__NR_ppoll, LS_WAIT_POLL)
LS_CALL(__NR_epoll_wait, LS_WAIT_EPOLL)
LS_CALL(__NR_epoll_pwait, LS_WAIT_EPOLL)
LS_CALL(441, LS_WAIT_EPOLL)  // epoll_pwait2

// Sockets.
LS_CALL(__NR_accept, LS_WAIT_FD)
LS_CALL(__NR_accept4, LS_WAIT_FD)
LS_CALL(__NR_bind, LS_WAIT_FD)
LS_CALL(__NR_connect, LS_WAIT_FD)
LS_CALL(__NR_getpeername, LS_WAIT_FD)
LS_CALL(__NR_getsockname, LS_WAIT_FD)
LS_CALL(__NR_getsockopt, LS_WAIT_FD)
LS_CALL(__NR_listen, LS_WAIT_FD)
LS_CALL(__NR_recvfrom, LS_WAIT_FD)
LS_CALL(__NR_recvmmsg, LS_WAIT_FD)
LS_CALL(__NR_recvmsg, LS_WAIT_FD)
LS_CALL(__NR_sendmmsg, LS_WAIT_FD)
LS_CALL(__NR_sendmsg, LS_WAIT_FD)
LS_CALL(__NR_sendto, LS_WAIT_FD)
LS_CALL(__NR_setsockopt, LS_WAIT_FD)
LS_CALL(__NR_shutdown, LS_WAIT_FD)

// Descriptors of any kind.
LS_CALL(451, LS_WAIT_FD)  // cachestat
LS_CALL(__NR_close, LS_WAIT_FD)
LS_CALL(436, LS_WAIT_FD)  // close_range
LS_CALL(__NR_copy_file_range, LS_WAIT_FD)
LS_CALL(__NR_dup, LS_WAIT_FD)
LS_CALL(__NR_dup2, LS_WAIT_FD_SECOND)  // which is closed
LS_CALL(__NR_dup3, LS_WAIT_FD_SECOND)
LS_CALL(__NR_epoll_ctl, LS_WAIT_FD)
LS_CALL(__NR_fadvise64, LS_WAIT_FD)
LS_CALL(__NR_fallocate, LS_WAIT_FD)
LS_CALL(__NR_fanotify_mark, LS_WAIT_FD)
LS_CALL(__NR_fchdir, LS_WAIT_FD)
LS_CALL(__NR_fchmod, LS_WAIT_FD)
LS_CALL(__NR_fchown, LS_WAIT_FD)
LS_CALL(__NR_fdatasync, LS_WAIT_FD)
LS_CALL(__NR_fgetxattr, LS_WAIT_FD)
LS_CALL(__NR_flistxattr, LS_WAIT_FD)
LS_CALL(__NR_fremovexattr, LS_WAIT_FD)
LS_CALL(431, LS_WAIT_FD)  // fsconfig
LS_CALL(__NR_fsetxattr, LS_WAIT_FD)
LS_CALL(432, LS_WAIT_FD)  // fsmount
LS_CALL(__NR_fstat, LS_WAIT_FD)
LS_CALL(__NR_fstatfs, LS_WAIT_FD)
LS_CALL(__NR_fsync, LS_WAIT_FD)
LS_CALL(__NR_ftruncate, LS_WAIT_FD)
LS_CALL(__NR_getdents64, LS_WAIT_FD)
LS_CALL(__NR_getdents, LS_WAIT_FD)
LS_CALL(__NR_inotify_add_watch, LS_WAIT_PATH_SECOND)
LS_CALL(__NR_inotify_rm_watch, LS_WAIT_FD)
LS_CALL(__NR_io_uring_enter, LS_WAIT_FD)
LS_CALL(__NR_io_uring_register, LS_WAIT_FD)
LS_CALL(__NR_ioctl, LS_WAIT_FD)
LS_CALL(445, LS_WAIT_FD)  // landlock_add_rule
LS_CALL(446, LS_WAIT_FD)  // landlock_restrict_self
LS_CALL(__NR_lseek, LS_WAIT_FD)
LS_CALL(__NR_mq_timedreceive, LS_WAIT_FD)
LS_CALL(__NR_mq_timedsend, LS_WAIT_FD)
LS_CALL(__NR_open_by_handle_at, LS_WAIT_FD)
LS_CALL(438, LS_WAIT_FD)  // pidfd_getfd
LS_CALL(424, LS_WAIT_FD)  // pidfd_send_signal
LS_CALL(__NR_pread64, LS_WAIT_FD)
LS_CALL(__NR_preadv2, LS_WAIT_FD)
LS_CALL(__NR_preadv, LS_WAIT_FD)
LS_CALL(440, LS_WAIT_FD)  // process_madvise
LS_CALL(448, LS_WAIT_FD)  // process_mrelease
LS_CALL(__NR_pwrite64, LS_WAIT_FD)
LS_CALL(__NR_pwritev2, LS_WAIT_FD)
LS_CALL(__NR_pwritev, LS_WAIT_FD)
LS_CALL(443, LS_WAIT_FD)  // quotactl_fd
LS_CALL(__NR_read, LS_WAIT_FD)
LS_CALL(__NR_readahead, LS_WAIT_FD)
LS_CALL(__NR_readv, LS_WAIT_FD)
LS_CALL(__NR_sendfile, LS_WAIT_FD)
LS_CALL(__NR_setns, LS_WAIT_FD)
LS_CALL(__NR_signalfd4, LS_WAIT_FD)
LS_CALL(__NR_signalfd, LS_WAIT_FD)
LS_CALL(__NR_splice, LS_WAIT_FD)
LS_CALL(__NR_sync_file_range, LS_WAIT_FD)
LS_CALL(__NR_syncfs, LS_WAIT_FD)
LS_CALL(__NR_tee, LS_WAIT_FD)
LS_CALL(__NR_timerfd_gettime, LS_WAIT_FD)
LS_CALL(__NR_timerfd_settime, LS_WAIT_FD)
LS_CALL(__NR_vmsplice, LS_WAIT_FD)
LS_CALL(__NR_write, LS_WAIT_FD)
LS_CALL(__NR_writev, LS_WAIT_FD)

// Paths.
LS_CALL(__NR_access, LS_WAIT_PATH)
LS_CALL(__NR_acct, LS_WAIT_PATH)
LS_CALL(__NR_chdir, LS_WAIT_PATH)
LS_CALL(__NR_chmod, LS_WAIT_PATH)
LS_CALL(__NR_chown, LS_WAIT_PATH)
LS_CALL(__NR_chroot, LS_WAIT_PATH)
LS_CALL(__NR_creat, LS_WAIT_PATH)
LS_CALL(__NR_execve, LS_WAIT_PATH)
LS_CALL(__NR_getxattr, LS_WAIT_PATH)
LS_CALL(__NR_lchown, LS_WAIT_PATH)
LS_CALL(__NR_lgetxattr, LS_WAIT_PATH)
LS_CALL(__NR_link, LS_WAIT_PATH)
LS_CALL(__NR_listxattr, LS_WAIT_PATH)
LS_CALL(__NR_llistxattr, LS_WAIT_PATH)
LS_CALL(__NR_lremovexattr, LS_WAIT_PATH)
LS_CALL(__NR_lsetxattr, LS_WAIT_PATH)
LS_CALL(__NR_lstat, LS_WAIT_PATH)
LS_CALL(__NR_mkdir, LS_WAIT_PATH)
LS_CALL(__NR_mknod, LS_WAIT_PATH)
LS_CALL(__NR_mount, LS_WAIT_PATH_SECOND)
LS_CALL(__NR_mq_open, LS_WAIT_PATH)
LS_CALL(__NR_mq_unlink, LS_WAIT_PATH)
LS_CALL(__NR_open, LS_WAIT_PATH)
LS_CALL(__NR_pivot_root, LS_WAIT_PATH)
LS_CALL(__NR_quotactl, LS_WAIT_PATH_SECOND)
LS_CALL(__NR_readlink, LS_WAIT_PATH)
LS_CALL(__NR_removexattr, LS_WAIT_PATH)
LS_CALL(__NR_rename, LS_WAIT_PATH)
LS_CALL(__NR_rmdir, LS_WAIT_PATH)
LS_CALL(__NR_setxattr, LS_WAIT_PATH)
LS_CALL(__NR_stat, LS_WAIT_PATH)
LS_CALL(__NR_statfs, LS_WAIT_PATH)
LS_CALL(__NR_swapoff, LS_WAIT_PATH)
LS_CALL(__NR_swapon, LS_WAIT_PATH)
LS_CALL(__NR_symlink, LS_WAIT_PATH_SECOND)  // the first one is only a text
LS_CALL(__NR_symlinkat, LS_WAIT_PATH)       // the third is the new one's
LS_CALL(__NR_truncate, LS_WAIT_PATH)
LS_CALL(__NR_umount2, LS_WAIT_PATH)
LS_CALL(__NR_unlink, LS_WAIT_PATH)
LS_CALL(__NR_utime, LS_WAIT_PATH)
LS_CALL(__NR_utimes, LS_WAIT_PATH)
LS_CALL(__NR_execveat, LS_WAIT_PATH_SECOND)
LS_CALL(__NR_faccessat, LS_WAIT_PATH_SECOND)
LS_CALL(439, LS_WAIT_PATH_SECOND)  // faccessat2
LS_CALL(__NR_fchmodat, LS_WAIT_PATH_SECOND)
LS_CALL(452, LS_WAIT_PATH_SECOND)  // fchmodat2
LS_CALL(__NR_fchownat, LS_WAIT_PATH_SECOND)
LS_CALL(468, LS_WAIT_PATH_SECOND)  // file_getattr
LS_CALL(469, LS_WAIT_PATH_SECOND)  // file_setattr
LS_CALL(433, LS_WAIT_PATH_SECOND)  // fspick
LS_CALL(__NR_futimesat, LS_WAIT_PATH_SECOND)
LS_CALL(464, LS_WAIT_PATH_SECOND)  // getxattrat
LS_CALL(__NR_linkat, LS_WAIT_PATH_SECOND)
LS_CALL(465, LS_WAIT_PATH_SECOND)  // listxattrat
LS_CALL(__NR_mkdirat, LS_WAIT_PATH_SECOND)
LS_CALL(__NR_mknodat, LS_WAIT_PATH_SECOND)
LS_CALL(442, LS_WAIT_PATH_SECOND)  // mount_setattr
LS_CALL(429, LS_WAIT_PATH_SECOND)  // move_mount
LS_CALL(__NR_name_to_handle_at, LS_WAIT_PATH_SECOND)
LS_CALL(__NR_newfstatat, LS_WAIT_PATH_SECOND)
LS_CALL(428, LS_WAIT_PATH_SECOND)  // open_tree
LS_CALL(467, LS_WAIT_PATH_SECOND)  // open_tree_attr
LS_CALL(__NR_openat, LS_WAIT_PATH_SECOND)
LS_CALL(437, LS_WAIT_PATH_SECOND)  // openat2
LS_CALL(__NR_readlinkat, LS_WAIT_PATH_SECOND)
LS_CALL(466, LS_WAIT_PATH_SECOND)  // removexattrat
LS_CALL(__NR_renameat2, LS_WAIT_PATH_SECOND)
LS_CALL(__NR_renameat, LS_WAIT_PATH_SECOND)
LS_CALL(463, LS_WAIT_PATH_SECOND)  // setxattrat
LS_CALL(332, LS_WAIT_PATH_SECOND)  // statx
LS_CALL(__NR_unlinkat, LS_WAIT_PATH_SECOND)
LS_CALL(__NR_utimensat, LS_WAIT_PATH_SECOND)

LS_CALL(__NR_sync, LS_WAIT_DISK)
LS_CALL(__NR_msync, LS_WAIT_DISK)
LS_CALL(__NR_io_getevents, LS_WAIT_DISK)
LS_CALL(333, LS_WAIT_DISK)  // io_pgetevents

LS_CALL(__NR_mmap, LS_WAIT_MEMORY)
LS_CALL(__NR_brk, LS_WAIT_MEMORY)
LS_CALL(__NR_madvise, LS_WAIT_MEMORY)
LS_CALL(__NR_mlock, LS_WAIT_MEMORY)
LS_CALL(__NR_mlock2, LS_WAIT_MEMORY)
LS_CALL(__NR_mprotect, LS_WAIT_MEMORY)
LS_CALL(__NR_mremap, LS_WAIT_MEMORY)
LS_CALL(__NR_munlock, LS_WAIT_MEMORY)
LS_CALL(__NR_munmap, LS_WAIT_MEMORY)
LS_CALL(__NR_pkey_mprotect, LS_WAIT_MEMORY)
LS_CALL(__NR_process_vm_readv, LS_WAIT_MEMORY)
