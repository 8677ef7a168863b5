#include "report/table.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>
#include <unistd.h>

#include "report/columns.h"

namespace casemate {

bool colored(Color wanted, int fd) {
  if (wanted != Color::automatic) return wanted == Color::always;
  const char* off = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return !(off && *off) && !(terminal && std::string_view(terminal) == "dumb") && ::isatty(fd);
}

void Table::add(std::vector<std::string> cells, std::string sgr) {
  cells.resize(columns_.size());
  rows_.push_back({std::move(cells), std::move(sgr)});
}

std::string Table::text(bool colors) const {
  std::vector<std::size_t> widths;
  for (const Column& column : columns_) widths.push_back(columns_of(column.heading));
  for (const Row& row : rows_) {
    for (std::size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], columns_of(row.cells[i]));
  }
  const auto line = [&](const auto& cell, const std::string& sgr) {
    std::string text;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const std::string& content = cell(i);
      const std::string padding(widths[i] - columns_of(content), ' ');
      if (i > 0) text += "  ";
      text += columns_[i].align == Align::right ? padding + content : content + padding;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return colors && !sgr.empty() ? fmt::format("\x1b[{}m{}\x1b[0m\n", sgr, text) : text + "\n";
  };
  std::string all = line([&](std::size_t i) -> const std::string& { return columns_[i].heading; }, "1");
  for (const Row& row : rows_) all += line([&](std::size_t i) -> const std::string& { return row.cells[i]; }, row.sgr);
  return all;
}

}  // namespace casemate
