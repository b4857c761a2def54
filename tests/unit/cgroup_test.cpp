#include "daemon/host/cgroup.h"

#include <gtest/gtest.h>

#include <string>

namespace loopsight {
namespace {

const std::string kId(64, 'a');
const std::string kOuterId(64, 'b');
const std::string kUid = "0f4a7c1e-2b3d-4e5f-8a9b-0c1d2e3f4a5b";
const std::string kUidInSlice = "0f4a7c1e_2b3d_4e5f_8a9b_0c1d2e3f4a5b";
const std::string kStaticUid = "5f3e2d1c0b9a8f7e6d5c4b3a29180706";

struct Case {
  std::string text;
  std::string container;
  std::string unit;
  std::string pod;
  bool unit_is_inside = false;
};

class ParseCgroup : public testing::TestWithParam<Case> {};

TEST_P(ParseCgroup, FindsContainerUnitAndPod) {
  Placement placement = parse_cgroup(GetParam().text);
  EXPECT_EQ(placement.container, GetParam().container) << GetParam().text;
  EXPECT_EQ(placement.unit, GetParam().unit) << GetParam().text;
  EXPECT_EQ(placement.pod, GetParam().pod) << GetParam().text;
  EXPECT_EQ(placement.unit_is_inside, GetParam().unit_is_inside) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    Systemd, ParseCgroup,
    testing::Values(
        Case{"0::/system.slice/uvicorn.service\n", "", "uvicorn.service", ""},
        Case{"0::/system.slice/system-gunicorn.slice/gunicorn@a.service\n", "",
             "gunicorn@a.service", ""},
        Case{"0::/system.slice/my\\x2dapp.service\n", "", "my-app.service", ""},
        // A unit may have a cgroup of its own below it (Delegate=).
        Case{"0::/system.slice/uvicorn.service/workers/3\n", "", "uvicorn.service", ""},
        Case{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/api.service\n", "",
             "api.service", ""},
        Case{"1:name=systemd:/system.slice/uvicorn.service\n0::/\n", "", "uvicorn.service", ""},
        // Other controllers' hierarchies say nothing of units.
        Case{"3:cpu:/system.slice/v1-controller.service\n", "", "", ""},
        // Who started it, not what it is: sessions, desktops, snaps, flatpaks.
        Case{"0::/user.slice/user-1000.slice/session-3.scope\n", "", "", ""},
        Case{"0::/user.slice/user-1000.slice/user@1000.service/init.scope\n", "", "", ""},
        Case{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-spawn-4a1b.scope\n",
             "", "", ""},
        Case{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/"
             "snap.jupyter.notebook-8d3c8f5e-1f0a-4c39-9d0a-6a1f7f1f1b2c.scope\n",
             "", "", ""},
        Case{"0::/user.slice/user-1000.slice/user@1000.service/app.slice/"
             "app-flatpak-org.gnome.Builder-2871.scope\n",
             "", "", ""},
        Case{"0::/system.slice/snap.shop.web.service\n", "", "snap.shop.web.service", ""},
        // systemd-run: another name at each start.
        Case{"0::/system.slice/run-u123.service\n", "", "", ""},
        Case{"0::/system.slice/run-r3b1f0c2d4e5f60718293a4b5c6d7e8f9.service\n", "", "", ""},
        Case{"0::/system.slice/run-p4711-i815.service\n", "", "", ""},
        Case{"0::/system.slice/run-report.service\n", "", "run-report.service", ""}));

INSTANTIATE_TEST_SUITE_P(
    Containers, ParseCgroup,
    testing::Values(
        // Docker: v2 with systemd's and its own driver, v1.
        Case{"0::/system.slice/docker-" + kId + ".scope\n", kId, "", ""},
        Case{"0::/docker/" + kId + "\n", kId, "", ""},
        Case{"12:memory:/docker/" + kId + "\n1:name=systemd:/docker/" + kId + "\n", kId, "", ""},
        Case{"0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" + kId +
                 ".scope\n",
             kId, "", ""},
        // Podman: root, rootless, --cgroups=split below a unit; conmon watches and is not in it.
        Case{"0::/machine.slice/libpod-" + kId + ".scope/container\n", kId, "", ""},
        Case{"0::/machine.slice/machine-libpod_pod_" + kOuterId + ".slice/libpod-" + kId +
                 ".scope/container\n",
             kId, "", ""},
        Case{"0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + kId +
                 ".scope/container\n",
             kId, "", ""},
        Case{"9:pids:/libpod_parent/libpod-" + kId + "\n", kId, "", ""},
        Case{"0::/system.slice/shop.service/libpod-payload-" + kId + "\n", kId, "shop.service", ""},
        Case{"0::/machine.slice/libpod-conmon-" + kId + ".scope\n", "", "", ""},
        // containerd without Kubernetes: nerdctl, ctr; Amazon's ECS.
        Case{"0::/system.slice/nerdctl-" + kId + ".scope\n", kId, "", ""},
        Case{"0::/default/" + kId + "\n", kId, "", ""},
        Case{"0::/k8s.io/" + kId + "\n", kId, "", ""},
        Case{"4:cpu:/ecs/0f4a7c1e2b3d4e5f8a9b0c1d2e3f4a5b/" + kId + "\n", kId, "", ""},
        // Systems with names: LXC, Incus and systemd-nspawn, with units of their own.
        Case{"0::/lxc.payload.web1/system.slice/nginx.service\n", "web1", "nginx.service", "",
             true},
        Case{"0::/lxc.payload.web1/init.scope\n", "web1", "", ""},
        Case{"0::/lxc.monitor.web1\n", "", "", ""},
        Case{"8:memory:/lxc.payload/web1\n1:name=systemd:/lxc.payload/web1/system.slice/a.service\n"
             "0::/lxc.payload/web1\n",
             "web1", "a.service", "", true},
        Case{"5:cpu:/lxc/web1\n", "web1", "", ""},
        Case{"0::/machine.slice/systemd-nspawn@web\\x2d1.service/payload/system.slice/a.service\n",
             "web-1", "a.service", "", true},
        Case{"0::/machine.slice/machine-web1.scope/payload/user.slice\n", "web1", "", ""}));

INSTANTIATE_TEST_SUITE_P(
    Kubernetes, ParseCgroup,
    testing::Values(
        // containerd, CRI-O and Docker; systemd's driver and cgroupfs; the classes of service.
        Case{"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + kUidInSlice +
                 ".slice/cri-containerd-" + kId + ".scope\n",
             kId, "", kUid},
        Case{"0::/kubepods.slice/kubepods-pod" + kUidInSlice + ".slice/crio-" + kId + ".scope\n",
             kId, "", kUid},
        Case{"0::/kubepods.slice/kubepods-pod" + kUidInSlice + ".slice/crio-" + kId +
                 ".scope/container\n",
             kId, "", kUid},
        Case{"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + kUidInSlice +
                 ".slice/docker-" + kId + ".scope\n",
             kId, "", kUid},
        Case{"4:cpu:/kubepods/besteffort/pod" + kUid + "/" + kId + "\n", kId, "", kUid},
        Case{"4:cpu:/kubepods/pod" + kUid + "/" + kId + "\n", kId, "", kUid},
        Case{"1:name=systemd:/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" +
                 kUidInSlice + ".slice/cri-containerd-" + kId + ".scope\n0::/\n",
             kId, "", kUid},
        Case{"0::/kubepods.slice/kubepods-pod" + kUidInSlice + ".slice/crio-conmon-" + kId +
                 ".scope\n",
             "", "", kUid},
        // A static pod's UID is a hash.
        Case{"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + kStaticUid +
                 ".slice/cri-containerd-" + kId + ".scope\n",
             kId, "", kStaticUid},
        // containerd that was told of systemd's driver on one side only.
        Case{"0::/system.slice/containerd.service/kubepods-burstable-pod" + kUidInSlice +
                 ".slice:cri-containerd:" + kId + "\n",
             kId, "", kUid},
        Case{"0::/system.slice/k3s.service\n", "", "", ""},
        // Seen from within loopsight's own pod, which has a cgroup namespace.
        Case{"0::/../../kubepods-burstable-pod" + kUidInSlice + ".slice/cri-containerd-" + kId +
                 ".scope\n",
             kId, "", kUid},
        Case{"0::/../../../besteffort/pod" + kUid + "/" + kId + "\n", kId, "", kUid},
        Case{"0::/../../pod" + kUid + "/" + kId + "\n", kId, "", kUid},
        Case{"0::/../../../../system.slice/api.service\n", "", "api.service", ""},
        // kind: a cluster's node is a container; Docker inside a pod. The outermost is believed.
        Case{"0::/system.slice/docker-" + kOuterId +
                 ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
                 "kubelet-kubepods-burstable-pod" +
                 kUidInSlice + ".slice/cri-containerd-" + kId + ".scope\n",
             kOuterId, "", ""},
        Case{"0::/docker/" + kOuterId + "/kubelet/kubepods/burstable/pod" + kUid + "/" + kId + "\n",
             kOuterId, "", ""},
        Case{"0::/docker/" + kOuterId + "/docker/" + kId + "\n", kOuterId, "", ""},
        Case{"0::/docker/" + kOuterId + "/system.slice/api.service\n", kOuterId, "", ""},
        Case{"0::/kubepods.slice/kubepods-pod" + kUidInSlice + ".slice/cri-containerd-" + kOuterId +
                 ".scope/docker/" + kId + "\n",
             kOuterId, "", kUid},
        // A container that calls a group of its own like another's container.
        Case{"0::/system.slice/docker-" + kOuterId + ".scope/lxc.payload.billing\n", kOuterId, "",
             ""}));

TEST(ParseCgroupPart, TakesOfAPathWhatIsBelieved) {
  std::string text =
      "1:name=systemd:/a.slice/x.service\n0::/user.slice/user@1.service/pg.service\n";
  auto believed = [](std::string_view controllers, std::string_view path) {
    EXPECT_EQ(controllers.empty(), path.starts_with("/user.slice"));
    return controllers.empty() ? path.substr(0, path.rfind('/')) : std::string_view();
  };
  EXPECT_EQ(parse_cgroup(text, believed).unit, "");
  EXPECT_EQ(parse_cgroup(text).unit, "pg.service");
}

INSTANTIATE_TEST_SUITE_P(
    NothingToFind, ParseCgroup,
    testing::Values(Case{"0::/\n", "", "", ""}, Case{"", "", "", ""},
                    Case{"garbage\n::\n:\n", "", "", ""}, Case{"0::/.service\n", "", "", ""},
                    Case{"0::/system.slice/docker-" + std::string(63, 'a') + ".scope\n", "", "",
                         ""},
                    Case{"0::/" + std::string(64, 'g') + "\n", "", "", ""},
                    Case{"0::/kubepods/podx/y\n", "", "", ""},
                    Case{"0::/kubepods/pod" + std::string(36, '-') + "\n", "", "", ""},
                    Case{"0::/my-pod" + kUid + "\n", "", "", ""},
                    Case{"0::/mypod" + kUid + "\n", "", "", ""},
                    Case{"0::/machine-web1.scope\n", "", "", ""}));

}  // namespace
}  // namespace loopsight
