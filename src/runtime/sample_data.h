// sample_data: tables for scripts that nobody gave any data.
#pragma once

#include <cstdint>
#include <string>

#include "casemate/result.h"
#include "runtime/models.h"

namespace casemate::runtime {

/// {"feature1": [1, 2, 3, 4, 5], "feature2": [0.1, 0.2, 0.3, 0.4, 0.5], "label": [0, 1, 0, 1, 0]}
[[nodiscard]] Json default_sample();

/// A table of `rows` rows for {"columns": {"name": "int" | "float" | "str" | "bool" | "datetime" | {"type", "min", "max", "values",
/// "nulls"}}} ("nulls" is a share, 0 to 1) or a list of {"name", ...}. The same for the same schema. invalid_input names the column. At
/// most 1,000,000 rows.
Result<Json> sample_from_schema(const Json& schema, std::uint64_t rows = 5);

/// Whether it is a table: an object of lists of one length. invalid_input says which column is not.
Result<void> check_sample(const Json& sample);

/// A checked sample as CSV (RFC 4180, newlines of one byte, None as nothing, lists as JSON), as pandas' to_csv(index=False) writes it.
[[nodiscard]] std::string sample_csv(const Json& sample);

}  // namespace casemate::runtime
