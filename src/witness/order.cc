#include "witness/order.h"

#include "witness/packed.h"

namespace casemate {
namespace {

constexpr std::string_view kMark = "casemate order 2\n";

void put(PackedWriter& writer, const std::vector<std::string>& texts) {
  writer.number(texts.size());
  for (const std::string& text : texts) writer.text(text);
}

std::vector<std::string> get(PackedReader& reader) {
  std::vector<std::string> texts;
  for (std::uint64_t left = reader.count(); left > 0; --left) texts.emplace_back(reader.text());
  return texts;
}

// Absent is 0, and a value one more than it is.
void put(PackedWriter& writer, const std::optional<std::uint64_t>& value) { writer.number(value ? *value + 1 : 0); }

std::optional<std::uint64_t> get_optional(PackedReader& reader) {
  const std::uint64_t value = reader.number();
  return value == 0 ? std::nullopt : std::optional(value - 1);
}

template <class Time>
std::optional<std::uint64_t> milliseconds(const std::optional<Time>& time) {
  return time ? std::optional(static_cast<std::uint64_t>(time->count())) : std::nullopt;
}

std::optional<std::chrono::milliseconds> get_time(PackedReader& reader) {
  const auto value = get_optional(reader);
  return value ? std::optional(std::chrono::milliseconds(*value)) : std::nullopt;
}

void put(PackedWriter& writer, const Limits& limits) {
  put(writer, limits.memory_bytes);
  put(writer, limits.pids ? std::optional<std::uint64_t>(*limits.pids) : std::nullopt);
  put(writer, milliseconds(limits.wall));
  put(writer, milliseconds(limits.cpu_time));
  put(writer, limits.output_bytes);
  put(writer, limits.disk_bytes);
  put(writer, limits.disk_inodes);
  put(writer, limits.open_files);
  put(writer, limits.file_bytes);
}

Limits get_limits(PackedReader& reader) {
  Limits limits;
  limits.memory_bytes = get_optional(reader);
  if (const auto pids = get_optional(reader)) limits.pids = static_cast<std::uint32_t>(*pids);
  limits.wall = get_time(reader);
  limits.cpu_time = get_time(reader);
  limits.output_bytes = get_optional(reader);
  limits.disk_bytes = get_optional(reader);
  limits.disk_inodes = get_optional(reader);
  limits.open_files = get_optional(reader);
  limits.file_bytes = get_optional(reader);
  return limits;
}

}  // namespace

std::string order_bytes(const WitnessOrder& order) {
  PackedWriter writer;
  writer.text(kMark);
  put(writer, order.argv);
  writer.number(order.env.size());
  for (const auto& [name, value] : order.env) writer.text(name), writer.text(value);
  writer.text(order.cwd);
  writer.number(order.user ? 1 : 0);
  writer.number(order.user ? order.user->uid : 0);
  writer.number(order.user ? order.user->gid : 0);
  for (const bool flag : {order.strict, order.lonely, order.reports, order.has_stdin, order.image}) writer.number(flag ? 1 : 0);
  put(writer, order.limits);
  put(writer, order.places);
  writer.number(order.fresh.size());
  for (const WitnessOrder::Fresh& fresh : order.fresh) {
    writer.text(fresh.path);
    writer.number(fresh.mode);
    writer.number(fresh.needed ? 1 : 0);
  }
  put(writer, order.collect);
  put(writer, order.spot_checks);
  return std::move(writer).take();
}

Result<WitnessOrder> read_order(std::string_view bytes) {
  PackedReader reader(bytes);
  if (reader.text() != kMark) return fail(ErrorCode::corrupt, "the order is none of this casemate's");
  WitnessOrder order;
  order.argv = get(reader);
  for (std::uint64_t left = reader.count(16); left > 0; --left) {
    std::string name(reader.text());
    order.env[std::move(name)] = std::string(reader.text());
  }
  order.cwd = reader.text();
  const bool user = reader.number() != 0;
  const User ids{static_cast<std::uint32_t>(reader.number()), static_cast<std::uint32_t>(reader.number())};
  if (user) order.user = ids;
  for (bool* flag : {&order.strict, &order.lonely, &order.reports, &order.has_stdin, &order.image}) *flag = reader.number() != 0;
  order.limits = get_limits(reader);
  order.places = get(reader);
  for (std::uint64_t left = reader.count(24); left > 0; --left) {
    WitnessOrder::Fresh fresh;
    fresh.path = reader.text();
    fresh.mode = static_cast<std::uint32_t>(reader.number() & 07777);
    fresh.needed = reader.number() != 0;
    order.fresh.push_back(std::move(fresh));
  }
  order.collect = get(reader);
  order.spot_checks = get(reader);
  if (!reader.at_end() || order.argv.empty()) return fail(ErrorCode::corrupt, "the order breaks off");
  return order;
}

}  // namespace casemate
