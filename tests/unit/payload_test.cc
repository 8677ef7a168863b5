#include "warm/payload.h"

#include <cstring>
#include <string>

#include <elf.h>
#include <gtest/gtest.h>

namespace casemate {
namespace {

constexpr std::string_view kHead = "\"\"\"Lines of JSON for the engine (src/war";  // of lines.py, on which all others stand

TEST(Payload, the_text_for_pytest_begins_with_lines_and_ends_by_running) {
  const std::string_view text = warm_python();
  EXPECT_TRUE(text.starts_with(kHead)) << text.substr(0, 100);
  EXPECT_TRUE(text.ends_with("\nmain()\n"));
  EXPECT_NE(text.find("def become_pytest"), std::string_view::npos);
  EXPECT_EQ(text.find('\0'), std::string_view::npos);
}

// What comes after it defines run(), and calls main().
TEST(Payload, the_plain_text_begins_with_lines_and_runs_nothing) {
  const std::string_view text = warm_plain();
  EXPECT_TRUE(text.starts_with(kHead)) << text.substr(0, 100);
  EXPECT_FALSE(text.ends_with("\nmain()\n"));
  EXPECT_EQ(text.find("pytest_runtest"), std::string_view::npos);
  EXPECT_EQ(text.find('\0'), std::string_view::npos);
}

TEST(Payload, the_native_half_needs_no_library_and_of_a_libc_only_fork) {
  const std::string_view module = warm_native();
  Elf64_Ehdr header;
  ASSERT_GT(module.size(), sizeof header);
  std::memcpy(&header, module.data(), sizeof header);
  ASSERT_EQ(std::memcmp(header.e_ident, ELFMAG, SELFMAG), 0);
  EXPECT_EQ(header.e_type, ET_DYN);
  int symbols = 0;
  for (int i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section;
    std::memcpy(&section, module.data() + header.e_shoff + static_cast<std::size_t>(i) * sizeof section, sizeof section);
    if (section.sh_type == SHT_DYNAMIC) {
      for (std::size_t at = 0; at < section.sh_size; at += sizeof(Elf64_Dyn)) {
        Elf64_Dyn entry;
        std::memcpy(&entry, module.data() + section.sh_offset + at, sizeof entry);
        EXPECT_NE(entry.d_tag, DT_NEEDED);
      }
    }
    if (section.sh_type != SHT_DYNSYM) continue;
    Elf64_Shdr names;
    std::memcpy(&names, module.data() + header.e_shoff + section.sh_link * sizeof names, sizeof names);
    for (std::size_t at = sizeof(Elf64_Sym); at < section.sh_size; at += sizeof(Elf64_Sym)) {
      Elf64_Sym symbol;
      std::memcpy(&symbol, module.data() + section.sh_offset + at, sizeof symbol);
      const std::string name = module.data() + names.sh_offset + symbol.st_name;
      ++symbols;
      if (symbol.st_shndx != SHN_UNDEF) {
        EXPECT_EQ(name, "PyInit_casemate_cells");
      } else {
        EXPECT_TRUE(name.starts_with("Py") || name.starts_with("_Py") || name == "fork" || name == "malloc_trim") << name;
      }
    }
  }
  EXPECT_GT(symbols, 10);
}

TEST(Payload, the_boot_text_is_one_line_for_any_python) {
  EXPECT_EQ(std::string_view(kWarmBoot).find('\n'), std::string_view::npos);
  EXPECT_NE(std::string_view(kWarmBoot).find("os.pread(4,"), std::string_view::npos);
}

}  // namespace
}  // namespace casemate
