// pool: cells made ahead, so that a job finds its cell ready.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>

#include "cell/cell.h"

namespace casemate {

/// Keeps up to `most` cells of one shape, the latest asked for. Entirely passive: the executor calls fill() when it has nothing better to
/// do.
class CellPool {
 public:
  CellPool(CellGround& ground, std::size_t most) : ground_(ground), most_(most) {}
  /// A cell of this shape made ahead, or nullptr.
  std::unique_ptr<Cell> take(const CellShape& shape);
  /// Makes one more cell of this shape if there are fewer than `most`; cells of another shape are destroyed. True if one was made.
  bool fill(const CellShape& shape);
  [[nodiscard]] std::size_t size() const { return cells_.size(); }
  void clear() { cells_.clear(); }

 private:
  CellGround& ground_;
  std::size_t most_;
  CellShape shape_;
  std::deque<std::unique_ptr<Cell>> cells_;
};

}  // namespace casemate
