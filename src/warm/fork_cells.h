// fork_cells: the cells that forks enter: some made ahead, and those that serve again because nobody can tell that they were in use.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <vector>

#include "cell/block.h"
#include "cell/cell.h"
#include "cell/ground.h"

namespace casemate {

/// Of one executor; the block that they are in may die and be made anew between calls.
class ForkCells {
 public:
  /// `ground` must outlive it; `ahead`: how many are to wait.
  ForkCells(CellGround& ground, std::size_t ahead) : ground_(ground), ahead_(ahead) {}
  /// One that waits, else a new one.
  Result<std::unique_ptr<Cell>> take(CellBlock& block);
  /// Makes one if too few wait.
  void fill(CellBlock& block);
  /// After its test: most tests only compute, and the next one can't tell their cell from a new one; others have at least left the network
  /// alone. What was touched ends here.
  void keep(std::unique_ptr<Cell> cell, const CellReport& report, const CgroupUsage& used);
  /// With their block.
  void clear();

 private:
  Result<std::unique_ptr<Cell>> make(CellBlock& block);

  CellGround& ground_;
  std::size_t ahead_;
  std::deque<std::unique_ptr<Cell>> waiting_;
  std::vector<UniqueFd> networks_;  // untouched ones, of cells that have gone
};

}  // namespace casemate
