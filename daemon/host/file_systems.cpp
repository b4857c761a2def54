#include "daemon/host/file_systems.h"

#include <algorithm>
#include <array>

namespace loopsight {

bool holds_source_files(int64_t type) {
  constexpr auto kListed = std::to_array<int64_t>({
      0xEF53,      // ext2, ext3, ext4
      0x58465342,  // xfs
      0x9123683E,  // btrfs
      0x01021994,  // tmpfs
      0x858458F6,  // ramfs
      0x794C7630,  // overlayfs
      0x61756673,  // aufs
      0x2FC12FC1,  // zfs
      0xCA451A4E,  // bcachefs
      0xF2F52010,  // f2fs
      0x73717368,  // squashfs
      0xE0F5E1E2,  // erofs
      0x9660,      // isofs
      0x15013346,  // udf
      0x4D44,      // vfat
      0x2011BAB0,  // exfat
      0x7366746E,  // ntfs3
      0x3153464A,  // jfs
      0x52654973,  // reiserfs
      0x3434,      // nilfs2
      0xF15F,      // ecryptfs
      0x6969,      // nfs
      0xFF534D42,  // cifs
      0xFE534D42,  // smb2, smb3
      0x00C36400,  // ceph
      0x01021997,  // 9p
      0x0BD00BD0,  // lustre
      0x47504653,  // gpfs
      0x5346414F,  // afs
      0x7461636F,  // ocfs2
      0x01161970,  // gfs2
  });
  return std::find(kListed.begin(), kListed.end(), type) != kListed.end();
}

}  // namespace loopsight
