// The plans of a block: what its first process lays out, and what is left to do in each cell.
#include "cell/block.h"

#include <algorithm>

#include <gtest/gtest.h>
#include <sched.h>

namespace casemate {
namespace {

using Op = Step::Op;

HostFacts host(bool privileged) {
  HostFacts facts;
  for (const char* path : {"/usr", "/etc", "/opt", "/srv/project"}) facts.paths[path] = {HostPath::Kind::directory, ""};
  for (const char* name : {"bin", "sbin", "lib", "lib64"})
    facts.paths[std::string("/") + name] = {HostPath::Kind::symlink, std::string("usr/") + name};
  facts.paths["/lib32"] = facts.paths["/libx32"] = {HostPath::Kind::missing, ""};
  facts.paths["/srv/file"] = {HostPath::Kind::file, ""};
  facts.privileged = privileged;
  facts.uid_map = facts.gid_map = {{0, privileged ? 1'000'000u : 1000u, privileged ? 65'536u : 1u}};
  if (!privileged) facts.uid = facts.gid = 1000;
  return facts;
}

Job job() {
  Job made;
  made.argv = {"python3"};
  made.limits = default_limits();
  made.mounts = {{.kind = Mount::Kind::overlay, .target = "/work", .lower = {"/srv/project"}, .owned = true},
                 {.kind = Mount::Kind::bind, .source = "/srv/file", .target = "/file"}};
  return made;
}

std::size_t count(const Plan& plan, Op op) {
  return static_cast<std::size_t>(std::count_if(plan.cell.begin(), plan.cell.end(), [&](const Step& step) { return step.op == op; }));
}

TEST(CompileBlock, TreesOfTheHostAreOfTheGroundAlone) {
  for (const bool privileged : {true, false}) {
    const auto block = compile_block(job(), job(), host(privileged));
    ASSERT_TRUE(block) << block.error().what;
    EXPECT_EQ(count(block->ground, Op::attach), block->ground.sources.size());
    EXPECT_EQ(count(block->ground, Op::open_source), privileged ? 0u : block->ground.sources.size());
    EXPECT_EQ(count(block->ground, Op::make_file), 1u);  // /srv/file
    for (const Plan& cell : block->cells) {
      EXPECT_EQ(count(cell, Op::open_source), cell.sources.size());
      for (const Source& source : cell.sources) {
        EXPECT_TRUE(source.path.starts_with("/tmp/")) << source.path;  // places of the ground
        EXPECT_FALSE(source.idmapped);
      }
    }
    // Both kinds show the same: each tree lies in the ground once.
    EXPECT_EQ(block->ground.sources.size(), block->cells[BlockPlan::fork].sources.size());
  }
}

TEST(CompileBlock, NamespacesAreMadeWhereTheyBelong) {
  const auto block = compile_block(job(), job(), host(true));
  ASSERT_TRUE(block);
  EXPECT_EQ(block->ground.namespaces, static_cast<std::uint64_t>(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID));
  for (const Plan& cell : block->cells) EXPECT_EQ(cell.namespaces & CLONE_NEWUSER, 0u);
  EXPECT_EQ(block->cells[BlockPlan::parent].namespaces & CLONE_NEWPID, 0u);  // or it could not fork into those below it
  EXPECT_NE(block->cells[BlockPlan::fork].namespaces & CLONE_NEWPID, 0u);
  EXPECT_TRUE(block->cells[BlockPlan::parent].enters_cells);
  EXPECT_FALSE(block->cells[BlockPlan::fork].enters_cells);
  EXPECT_EQ(block->cells[BlockPlan::fork].cell.back().op, Op::export_namespaces);
  EXPECT_EQ(count(block->cells[BlockPlan::parent], Op::export_namespaces), 0u);
}

TEST(CompileBlock, WhatTheKernelCountsToAUserNamespaceIsTheBlocks) {
  const auto block = compile_block(job(), job(), host(true));
  const auto alone = compile(job(), host(true));
  ASSERT_TRUE(block && alone);
  EXPECT_EQ(count(block->ground, Op::namespace_limit), count(*alone, Op::namespace_limit));
  for (const Plan& cell : block->cells) EXPECT_EQ(count(cell, Op::namespace_limit), 0u);
}

TEST(CompileBlock, TheStrictProfileIsRefused) {
  Job strict = job();
  strict.profile = Profile::strict;
  for (const auto& block : {compile_block(strict, job(), host(true)), compile_block(job(), strict, host(true))}) {
    ASSERT_FALSE(block);
    EXPECT_EQ(block.error().code, ErrorCode::invalid_input);
  }
}

TEST(CompileBlock, IsPure) {
  const auto first = compile_block(job(), job(), host(false));
  const auto second = compile_block(job(), job(), host(false));
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->ground, second->ground);
  for (const int kind : {0, 1}) EXPECT_EQ(first->cells[kind], second->cells[kind]);
}

}  // namespace
}  // namespace casemate
