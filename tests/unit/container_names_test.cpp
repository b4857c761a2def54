#include "daemon/host/container_names.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace loopsight {
namespace {

namespace fs = std::filesystem;

const std::string kUid = "0f4a7c1e-2b3d-4e5f-8a9b-0c1d2e3f4a5b";
const std::string kId(64, 'a');

TEST(PodOwner, TakesOffWhatControllersAdd) {
  EXPECT_EQ(pod_owner("shop-7d9c5b6f4d-x2x7z"), "shop");         // Deployment
  EXPECT_EQ(pod_owner("shop-web-6b8f7c9d4-k8m2p"), "shop-web");  // with a nine-letter hash
  EXPECT_EQ(pod_owner("agent-x2x7z"), "agent");                  // DaemonSet, Job
  EXPECT_EQ(pod_owner("backup-28370415-k8m2p"), "backup");       // CronJob
  EXPECT_EQ(pod_owner("db-0"), "db");                            // StatefulSet
  EXPECT_EQ(pod_owner("db-primary-12"), "db-primary");
}

TEST(PodOwner, KeepsTheRest) {
  for (const char* name : {"shop", "kube-apiserver-node1", "my-front", "web-nginx", "-x2x7z", "-0",
                           "", "db-12345", "shop-prices"})
    EXPECT_EQ(pod_owner(name), name);
}

TEST(KubeletContainer, IsInThePathOfTheTerminationMessage) {
  std::string text =
      "700 650 0:50 / / rw,relatime - overlay overlay rw\n"
      "711 700 259:1 /var/lib/kubelet/pods/" +
      kUid +
      "/etc-hosts /etc/hosts rw - ext4 /dev/x rw\n"
      "712 700 259:1 /var/lib/kubelet/pods/" +
      kUid + "/containers/web/3f2a81c0 /dev/termination-log rw - ext4 /dev/x rw\n";
  EXPECT_EQ(kubelet_container(text, kUid), "web");
  // A file system of the kubelet's own.
  EXPECT_EQ(
      kubelet_container("1 2 8:1 /pods/" + kUid + "/containers/api/9 /x rw - ext4 / rw", kUid),
      "api");
}

TEST(KubeletContainer, BelievesNoOtherPath) {
  std::string other = "1f4a7c1e-2b3d-4e5f-8a9b-0c1d2e3f4a5b";
  EXPECT_EQ(kubelet_container("1 2 8:1 /pods/" + other + "/containers/api/9 /x rw", kUid), "");
  EXPECT_EQ(kubelet_container("1 2 8:1 / /pods/" + kUid + "/containers/api/9 rw", kUid), "");
  EXPECT_EQ(kubelet_container("1 2 8:1 /pods/" + kUid + "/containers/A\x01b/9 /x rw", kUid), "");
  EXPECT_EQ(
      kubelet_container("1 2 8:1 /pods/" + kUid + "/containers/" + std::string(64, 'a'), kUid), "");
  for (const char* text : {"", "\n", " ", "1 2", "1 2 3 "})
    EXPECT_EQ(kubelet_container(text, kUid), "");
  EXPECT_EQ(kubelet_container("1 2 8:1 /pods//containers/a /x rw", ""), "");
}

class FindContainerNames : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("loopsight-names-" + std::to_string(getpid()));
    fs::remove_all(root_);
    write("5/mountinfo", "");
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  ContainerNames find(const Placement& placement) {
    return find_container_names(root_.string(), 5, placement);
  }

  fs::path root_;
};

TEST_F(FindContainerNames, ReadsAPodsNamesFromTheKubelet) {
  write("5/mountinfo", "1 2 8:1 /var/lib/kubelet/pods/" + kUid + "/containers/web/9 /x rw\n");
  for (const char* container : {"web", "proxy"})
    fs::create_directories(root_ / "1/root/var/log/pods" / ("prod_shop-7d9c5b6f4d-x2x7z_" + kUid) /
                           container);
  ContainerNames names = find({.container = kId, .pod = kUid});
  EXPECT_EQ(names.workload, "prod/shop/web");
  EXPECT_EQ(names.pod, "prod/shop-7d9c5b6f4d-x2x7z");
}

TEST_F(FindContainerNames, TakesTheOnlyContainerOfAPod) {
  fs::create_directories(root_ / "1/root/var/log/pods" / ("prod_db-0_" + kUid) / "postgres");
  EXPECT_EQ(find({.container = kId, .pod = kUid}).workload, "prod/db/postgres");
}

TEST_F(FindContainerNames, SaysAsMuchOfAPodAsIsKnown) {
  EXPECT_EQ(find({.container = kId, .pod = kUid}).workload, "");
  write("5/mountinfo", "1 2 8:1 /var/lib/kubelet/pods/" + kUid + "/containers/web/9 /x rw\n");
  EXPECT_EQ(find({.container = kId, .pod = kUid}).workload, "web");
  EXPECT_EQ(find({.container = kId, .pod = kUid}).pod, "");
  for (const char* entry : {"_x_", "x__", "nothing_"})
    fs::create_directories(root_ / "1/root/var/log/pods" / (entry + kUid));
  EXPECT_EQ(find({.container = kId, .pod = kUid}).workload, "web");
}

TEST_F(FindContainerNames, ReadsDockersNames) {
  std::string file = "1/root/var/lib/docker/containers/" + kId + "/config.v2.json";
  write(file, R"({"Name":"/shop_web","Config":{"Labels":{}}})");
  EXPECT_EQ(find({.container = kId}).workload, "shop_web");
  write(file, R"({"Name":"/shop-web-3","Config":{"Labels":{"com.docker.compose.project":"shop",
              "com.docker.compose.service":"web"}}})");
  EXPECT_EQ(find({.container = kId}).workload, "shop-web");
  write(file, R"({"Name":"/shop.1.x8d7","Config":{"Labels":{
              "com.docker.swarm.service.name":"shop"}}})");
  EXPECT_EQ(find({.container = kId}).workload, "shop");
  for (const char* broken : {"", "[]", "{}", "{\"Name\":5}", "{\"Name\":", "{\"Config\":[1]}",
                             R"({"Config":{"Labels":"x"}})"}) {
    write(file, broken);
    EXPECT_EQ(find({.container = kId}).workload, "") << broken;
  }
}

// A copy of such a value would need more stack than there is.
TEST_F(FindContainerNames, BelievesNoDeeplyNestedFile) {
  std::string brackets = std::string(1 << 20, '[') + std::string(1 << 20, ']');
  write("1/root/var/lib/docker/containers/" + kId + "/config.v2.json",
        R"({"Name": "/shop", "Config": )" + brackets + "}");
  write("1/root/var/lib/containers/storage/overlay-containers/containers.json",
        R"([{"id": ")" + kId + R"(", "names": )" + brackets + "}]");
  EXPECT_EQ(find({.container = kId}).workload, "");
}

TEST_F(FindContainerNames, ReadsPodmansNames) {
  std::string file = "1/root/var/lib/containers/storage/overlay-containers/containers.json";
  write(file, R"([{"id":"b","names":["x"]},{"id":")" + kId + R"(","names":["web"]}])");
  EXPECT_EQ(find({.container = kId}).workload, "web");
  for (const char* broken : {"", "{}", "[1]", "[{}]", R"([{"id":5}])"}) {
    write(file, broken);
    EXPECT_EQ(find({.container = kId}).workload, "") << broken;
  }
  write(file, R"([{"id":")" + kId + R"(","names":[]}])");
  EXPECT_EQ(find({.container = kId}).workload, "");
}

TEST_F(FindContainerNames, FallsBackOnTheUnitAround) {
  EXPECT_EQ(find({.container = kId, .unit = "shop.service"}).workload, "shop.service");
}

TEST_F(FindContainerNames, NamesAMachineAndItsUnit) {
  EXPECT_EQ(find({.container = "web1"}).workload, "web1");
  EXPECT_EQ(find({.container = "web1", .unit = "a.service", .unit_is_inside = true}).workload,
            "web1/a.service");
  EXPECT_EQ(find({.unit = "a.service"}).workload, "");
}

}  // namespace
}  // namespace loopsight
