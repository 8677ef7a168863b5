#include "apps/script/report.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace casemate {
namespace {

using Json = nlohmann::json;

Change change(std::string path, Change::Kind kind = Change::Kind::created, Change::Type type = Change::Type::file) {
  Change made;
  made.path = std::move(path);
  made.kind = kind;
  made.type = type;
  made.mode = 0644;
  return made;
}

JobResult finished(Outcome::Kind kind, int code = 0) {
  JobResult result;
  result.outcome.kind = kind;
  result.outcome.code = code;
  return result;
}

ScriptReport concluded(JobResult result, const Limits& limits = {}) {
  ScriptReport report;
  conclude(report, std::move(result), limits);
  return report;
}

TEST(ScriptReport, success_has_the_documents_keys_in_its_order) {
  JobResult result = finished(Outcome::Kind::exited);
  result.changes = {change("plot.png"), change("output.csv"), change("dir", Change::Kind::created, Change::Type::directory),
                    change("old", Change::Kind::deleted), change("fifo", Change::Kind::created, Change::Type::skipped)};
  result.output.merged = "hello\n";
  const ScriptReport report = concluded(std::move(result));
  EXPECT_EQ(report.exit_status, 0);
  const auto object = nlohmann::ordered_json::parse(to_json(report));
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"status", "message", "captured_files", "details"}));
  EXPECT_EQ(object["status"], "success");
  EXPECT_EQ(object["message"], "Script executed successfully. Captured 2 output file(s).");
  EXPECT_EQ(object["captured_files"], (Json{"output.csv", "plot.png"}));
  EXPECT_EQ(object["details"]["raw_logs"], "hello\n");
  EXPECT_EQ(object["details"]["deleted"][0]["path"], "old");
  EXPECT_EQ(object["details"]["skipped"][0]["path"], "fifo");
  EXPECT_EQ(object["details"]["captured"].size(), 3u);
}

TEST(ScriptReport, failure_has_the_documents_keys_in_its_order) {
  const ScriptReport report = concluded(finished(Outcome::Kind::exited, 3));
  EXPECT_EQ(report.exit_status, 1);
  const auto object = nlohmann::ordered_json::parse(to_json(report));
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"status", "error_type", "message", "details"}));
  EXPECT_EQ(object["error_type"], "script_execution_failed");
  EXPECT_EQ(object["message"], "The user script failed with a non-zero exit code.");
  EXPECT_EQ(object["details"]["exit_code"], 3);
  EXPECT_EQ(object["details"]["outcome"], "exited 3");
}

TEST(ScriptReport, every_end_has_its_sentence) {
  Limits limits;
  limits.wall = std::chrono::seconds(10);
  limits.memory_bytes = 64u << 20;
  limits.pids = 32;
  const auto message = [&](Outcome::Kind kind, int code = 0) { return concluded(finished(kind, code), limits).message; };
  EXPECT_EQ(message(Outcome::Kind::timed_out), "The user script timed out after 10 s.");
  EXPECT_EQ(message(Outcome::Kind::out_of_memory), "The user script ran out of memory (limit 64.0 MiB).");
  EXPECT_EQ(message(Outcome::Kind::too_many_processes), "The user script started too many processes (limit 32).");
  EXPECT_EQ(message(Outcome::Kind::signaled, 9), "The user script was ended by signal 9 (SIGKILL).");
  EXPECT_EQ(message(Outcome::Kind::disk_limit), "The user script filled its disk.");
}

TEST(ScriptReport, what_is_not_the_scripts_fault_is_an_internal_error) {
  for (const auto kind : {Outcome::Kind::setup_failed, Outcome::Kind::lost, Outcome::Kind::cancelled})
    EXPECT_EQ(concluded(finished(kind)).error_type, ScriptErrorType::runner_internal_error);
  for (const auto kind : {Outcome::Kind::timed_out, Outcome::Kind::output_limit, Outcome::Kind::disk_limit, Outcome::Kind::signaled})
    EXPECT_EQ(concluded(finished(kind)).error_type, ScriptErrorType::script_execution_failed);
}

TEST(ScriptReport, files_that_could_not_be_saved_are_no_success) {
  JobResult result = finished(Outcome::Kind::exited);
  result.collect_error = "out.bin: No space left on device";
  const ScriptReport report = concluded(std::move(result));
  EXPECT_EQ(report.error_type, ScriptErrorType::runner_internal_error);
  EXPECT_EQ(report.exit_status, 1);
  JobResult many = finished(Outcome::Kind::exited);
  many.changes_truncated = true;
  EXPECT_EQ(concluded(std::move(many)).exit_status, 1);
}

TEST(ScriptReport, exit_codes_are_those_of_a_container) {
  EXPECT_EQ(exit_code(finished(Outcome::Kind::exited, 7).outcome), 7);
  EXPECT_EQ(exit_code(finished(Outcome::Kind::signaled, 11).outcome), 139);
  EXPECT_EQ(exit_code(finished(Outcome::Kind::timed_out).outcome), 124);
  EXPECT_EQ(exit_code(finished(Outcome::Kind::out_of_memory).outcome), 137);
  EXPECT_EQ(exit_code(finished(Outcome::Kind::setup_failed).outcome), std::nullopt);
}

TEST(ScriptReport, json_is_valid_and_exact_for_hostile_bytes) {
  JobResult result = finished(Outcome::Kind::exited);
  result.output.merged = std::string("a\xff\x1b[2J\0b", 8);
  Change link = change("x\ny", Change::Kind::created, Change::Type::symlink);
  link.link_target = "\xfe/etc";
  result.changes = {change("\xff\xfe"), change("-rf"), link};
  const std::string text = to_json(concluded(std::move(result)));
  for (const char byte : text) ASSERT_TRUE(byte == '\n' || (byte >= 0x20 && byte < 0x7f)) << static_cast<int>(byte);
  const Json object = Json::parse(text);
  EXPECT_EQ(object["details"]["raw_logs"], std::string("a\xef\xbf\xbd\x1b[2J\0b", 10));
  EXPECT_EQ(object["captured_files"], (Json{"-rf", "x\ny", "\xef\xbf\xbd\xef\xbf\xbd"}));
  EXPECT_EQ(object["details"]["captured"][0]["path_bytes"], "fffe");
  EXPECT_FALSE(object["details"]["captured"][1].contains("path_bytes"));
  EXPECT_EQ(object["details"]["captured"][2]["link_target_bytes"], "fe2f657463");
}

TEST(ScriptReport, failures_before_the_run_have_logs_and_a_reason) {
  ScriptReport report = failure(ScriptErrorType::environment_setup_failed, Error{ErrorCode::refused, "no such package", 0, ""});
  report.installer_log = "ERROR: No matching distribution\n";
  const Json object = Json::parse(to_json(report));
  EXPECT_EQ(object["error_type"], "environment_setup_failed");
  EXPECT_EQ(object["details"]["raw_logs"], "ERROR: No matching distribution\n");
  EXPECT_EQ(object["details"]["reason"], "refused");
  EXPECT_FALSE(object["details"].contains("exit_code"));
  EXPECT_FALSE(object.contains("captured_files"));
}

}  // namespace
}  // namespace casemate
