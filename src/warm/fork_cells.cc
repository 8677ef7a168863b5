#include "warm/fork_cells.h"

#include <utility>

namespace casemate {

Result<std::unique_ptr<Cell>> ForkCells::take(CellBlock& block) {
  if (waiting_.empty()) return make(block);
  std::unique_ptr<Cell> cell = std::move(waiting_.front());
  waiting_.pop_front();
  return cell;
}

void ForkCells::fill(CellBlock& block) {
  if (waiting_.size() >= ahead_) return;
  if (auto cell = make(block)) waiting_.push_back(std::move(*cell));
}

void ForkCells::keep(std::unique_ptr<Cell> cell, const CellReport& report, const CgroupUsage& used) {
  if (cell->plan().outbound) return;  // its gateway has gone with the test
  const bool clean = report.untouched && !cell->attached() && !cell->killed() && report.leftovers.empty() && !report.over_limit &&
                     !report.disk_full && cell->renew_pipes();
  if (clean && waiting_.size() < 2 * ahead_ && (!cell->cgroup() || cell->cgroup()->renew(used))) {
    waiting_.push_back(std::move(cell));
  } else if (report.network_untouched && cell->own_network() && networks_.size() < ahead_) {
    networks_.push_back(std::move(cell->own_network()));
  }
}

void ForkCells::clear() {
  waiting_.clear();
  networks_.clear();
}

Result<std::unique_ptr<Cell>> ForkCells::make(CellBlock& block) {
  UniqueFd network;
  if (!networks_.empty()) {
    network = std::move(networks_.back());
    networks_.pop_back();
  }
  return Cell::create_in(block, BlockPlan::fork, ground_, network.get());
}

}  // namespace casemate
