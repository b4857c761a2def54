#include "daemon/attribute/cgroup.h"

#include <gtest/gtest.h>

#include <string>

namespace loopsight {
namespace {

const std::string kId(64, 'a');

struct Case {
  std::string text;
  std::string container;
  std::string unit;
};

class ParseCgroup : public testing::TestWithParam<Case> {};

TEST_P(ParseCgroup, FindsContainerAndUnit) {
  Placement placement = parse_cgroup(GetParam().text);
  EXPECT_EQ(placement.container, GetParam().container) << GetParam().text;
  EXPECT_EQ(placement.unit, GetParam().unit) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    RealPaths, ParseCgroup,
    testing::Values(
        Case{"0::/system.slice/uvicorn.service\n", "", "uvicorn.service"},
        Case{"0::/system.slice/system-gunicorn.slice/gunicorn@a.service\n", "",
             "gunicorn@a.service"},
        Case{"0::/system.slice/my\\x2dapp.service\n", "", "my-app.service"},
        Case{"0::/user.slice/user-1000.slice/session-3.scope\n", "", ""},
        Case{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/term.scope\n", "", ""},
        Case{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/api.service\n", "",
             "api.service"},
        // Docker: cgroup v2 with the systemd driver, v1 with cgroupfs.
        Case{"0::/system.slice/docker-" + kId + ".scope\n", kId, ""},
        Case{"12:memory:/docker/" + kId + "\n1:name=systemd:/docker/" + kId + "\n", kId, ""},
        // Podman, rootless and not.
        Case{"0::/machine.slice/libpod-" + kId + ".scope/container\n", kId, ""},
        Case{"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + kId +
                 ".scope\n",
             kId, ""},
        // Kubernetes: containerd and CRI-O, both drivers.
        Case{"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/"
             "cri-containerd-" +
                 kId + ".scope\n",
             kId, ""},
        Case{"0::/kubepods.slice/kubepods-pod1.slice/crio-" + kId + ".scope\n", kId, ""},
        Case{"4:cpu:/kubepods/besteffort/pod0a1b/" + kId + "\n", kId, ""},
        Case{"0::/k8s.io/" + kId + "\n", kId, ""},
        // Nothing to find, and things that only look like it.
        Case{"0::/\n", "", ""}, Case{"", "", ""}, Case{"garbage\n::\n", "", ""},
        Case{"0::/system.slice/docker-" + std::string(63, 'a') + ".scope\n", "", ""},
        Case{"0::/" + std::string(64, 'g') + "\n", "", ""}, Case{"0::/.service\n", "", ""},
        Case{"3:cpu:/system.slice/v1-controller.service\n", "", ""}));

}  // namespace
}  // namespace loopsight
