// table: columns for people: aligned by what a terminal shows, coloured where that is wanted.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace casemate {

/// When to colour: `always`, `never`, or `automatic`: a terminal, and neither NO_COLOR (no-color.org) nor TERM=dumb.
enum class Color { automatic, always, never };
/// Whether output to this descriptor gets colours.
[[nodiscard]] bool colored(Color wanted, int fd);

/// Rows of cells under a heading. Cells must be printable (base/terminal.h).
class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string heading;
    Align align = Align::left;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// Adds a row; missing cells are empty, `sgr` is how its text is shown ("31" red, "" plain; ECMA-48 SGR).
  void add(std::vector<std::string> cells, std::string sgr = "");
  /// The table with a newline after each line; the heading is bold where `colors`.
  [[nodiscard]] std::string text(bool colors) const;

 private:
  struct Row {
    std::vector<std::string> cells;
    std::string sgr;
  };
  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

}  // namespace casemate
