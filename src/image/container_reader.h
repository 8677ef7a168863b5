// container_reader: the fields of a container in a TOML document, for files that hold more than one.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "image/container.h"
#include "image/toml_fields.h"

namespace casemate {

/// Reads tables of one document. Errors are as TomlFields has them, and not_found for a local_path that isn't there.
class ContainerReader {
 public:
  using Names = TomlFields::Names;

  /// Relative local paths are of `directory`, and must be there where the document is a file (has lines).
  ContainerReader(TomlFields fields, std::string directory) : toml_(std::move(fields)), directory_(std::move(directory)) {}

  /// The names of all fields that patch() looks at, but `parent`.
  static Names field_names();
  /// What a table's fields change. Other fields of the table are the caller's to look at.
  [[nodiscard]] Result<ContainerPatch> patch(const toml::table& table) const;
  [[nodiscard]] Result<LayerSpec> layer(const toml::table& table) const;
  /// A table of type devices or dev is several mounts.
  [[nodiscard]] Result<std::vector<Mount>> mounts(const toml::table& table) const;
  [[nodiscard]] const TomlFields& toml() const { return toml_; }

 private:
  [[nodiscard]] Result<void> image(const toml::table& table, ContainerPatch& patch) const;
  [[nodiscard]] Result<void> parent(const toml::table& table, ContainerPatch& patch) const;
  [[nodiscard]] Result<PrefixOptions> prefix(const toml::table& table) const;
  [[nodiscard]] Result<LayerSpec> symlinks(const toml::table& table, std::string_view what) const;
  [[nodiscard]] Result<LayerSpec> command(const toml::table& table, std::string_view what) const;
  [[nodiscard]] Result<std::vector<LayerSpec>> layer_list(const toml::table& table, std::string_view name) const;
  [[nodiscard]] Result<std::vector<Mount>> mount_list(const toml::table& table, std::string_view name) const;
  [[nodiscard]] Result<std::vector<Mount>> devices(const toml::table& table, std::string_view what) const;
  [[nodiscard]] Result<void> bind(const toml::table& table, Mount& mount) const;
  [[nodiscard]] Result<std::vector<EnvironmentPatch>> environment(const toml::table& table, std::string_view name) const;
  [[nodiscard]] Result<EnvironmentPatch> variables(const toml::table& table, std::string_view name) const;
  [[nodiscard]] Result<void> network(const toml::table& table, ContainerPatch& patch) const;
  [[nodiscard]] Result<std::optional<std::string>> id(const toml::table& table, std::string_view name) const;
  [[nodiscard]] Result<void> limits(const toml::table& table, ContainerPatch& patch) const;

  TomlFields toml_;
  std::string directory_;
};

}  // namespace casemate
