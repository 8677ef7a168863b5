#include "cell/pool.h"

namespace casemate {

std::unique_ptr<Cell> CellPool::take(const CellShape& shape) {
  if (cells_.empty() || !(shape_ == shape)) return nullptr;
  std::unique_ptr<Cell> cell = std::move(cells_.front());
  cells_.pop_front();
  return cell;
}

bool CellPool::fill(const CellShape& shape) {
  if (!(shape_ == shape)) {
    cells_.clear();
    shape_ = shape;
  }
  if (cells_.size() >= most_) return false;
  auto cell = Cell::create(ground_, shape.plan, shape.limits);
  if (!cell) return false;  // the job that needs it will meet the same error and report it
  cells_.push_back(std::move(*cell));
  return true;
}

}  // namespace casemate
