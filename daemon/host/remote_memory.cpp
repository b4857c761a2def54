#include "daemon/host/remote_memory.h"

#include <sys/types.h>
#include <sys/uio.h>

namespace loopsight {

RemoteMemory::RemoteMemory(uint32_t tgid, size_t most_reads) : most_reads_(most_reads) {
  read_ = [tgid](uint64_t address, void* buffer, size_t size) {
    iovec local{.iov_base = buffer, .iov_len = size};
    iovec remote{.iov_base = reinterpret_cast<void*>(address), .iov_len = size};  // NOLINT: theirs
    return process_vm_readv(static_cast<pid_t>(tgid), &local, 1, &remote, 1, 0) ==
           static_cast<ssize_t>(size);
  };
}

bool RemoteMemory::read(uint64_t address, void* buffer, size_t size) const {
  if (address == 0 || reads_ >= most_reads_) return false;
  reads_++;
  return read_(address, buffer, size);
}

uint64_t RemoteMemory::word(uint64_t address) const { return value<uint64_t>(address).value_or(0); }

}  // namespace loopsight
