#include "witness/worker_facts.h"

#include <string>

#include <gtest/gtest.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace casemate {
namespace {

TEST(WorkerFacts, are_those_of_this_process) {
  const WorkerFacts facts = look_at_worker();
  utsname names{};
  ::uname(&names);
  EXPECT_EQ(facts.kernel, names.release);
  EXPECT_EQ(facts.machine, names.machine);
  EXPECT_EQ(facts.uid, ::geteuid());
  EXPECT_EQ(facts.gid, ::getegid());
  EXPECT_GE(facts.cpus, 1u);
  EXPECT_FALSE(facts.at_root);
  if (facts.fresh_proc) EXPECT_EQ(facts.user_namespace_problem, 0);
}

TEST(WorkerFacts, come_back_as_they_were_told) {
  WorkerFacts facts{.kernel = "6.1.0-18-amd64", .machine = "x86_64", .uid = 1000, .gid = 4'294'967'294, .cpus = 96};
  facts.user_namespace_problem = 1;
  facts.own_processes = facts.at_root = true;
  facts.covered = "/usr /opt/x";
  facts.python = "/opt/a b/python3";
  const auto read = read_facts(facts_text(facts));
  ASSERT_TRUE(read) << read.error().what;
  EXPECT_EQ(*read, facts);
  facts.python.clear();
  EXPECT_EQ(*read_facts(facts_text(facts)), facts);
}

TEST(WorkerFacts, have_what_lies_over_places_of_images) {
  EXPECT_EQ(covered_places(""), "");
  EXPECT_EQ(covered_places("22 21 0:5 /\n\n1 2 3\n"), "");
  const std::string own = "21 20 0:5 / / rw - overlay o rw\n22 21 0:6 / /proc rw - proc proc rw\n23 21 0:6 / /usrlocal rw - x x rw\n";
  EXPECT_EQ(covered_places(own), "");
  EXPECT_EQ(
      covered_places(own + "24 21 0:7 /usr /usr ro - ext4 x rw\n25 21 0:7 /etc/a /etc/a ro - ext4 x rw\n26 21 0:7 / /opt/x ro - ext4 x rw"),
      "/usr /opt/x");
}

TEST(WorkerFacts, that_make_no_sense_are_none) {
  const std::string good = facts_text(look_at_worker());
  ASSERT_TRUE(read_facts(good));
  const auto with = [&](const std::string& name, const std::string& value) {
    const auto at = good.find(name + " ");
    return good.substr(0, at) + name + " " + value + good.substr(good.find('\n', at));
  };
  for (const std::string& bad :
       {std::string(), std::string("uid 0\n"), std::string(10'000, 'x'), with("uid", "-1"), with("uid", "x"), with("uid", ""),
        with("cpus", "4294967296"), with("at_root", "2"), with("user_namespace_problem", "5000")}) {
    const auto read = read_facts(bad);
    ASSERT_FALSE(read) << bad;
    EXPECT_EQ(read.error().code, ErrorCode::corrupt);
  }
  EXPECT_EQ(read_facts(with("kernel", "\x1b[2J"))->kernel.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace casemate
