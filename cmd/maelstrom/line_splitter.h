// Where does a line of stdin end, and what if it does not?
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace raftkv::cmd::maelstrom {

class LineSplitter {
 public:
  /// The largest frame of a peer, in base64, with room to spare.
  static constexpr std::size_t kMaxLineBytes = 8 << 20;

  /// Calls `on_line(std::string_view)` for each line that ends in `bytes`, and `on_too_long()` once
  /// for one that is longer than kMaxLineBytes and is skipped.
  template <class OnLine, class OnTooLong>
  void Feed(std::string_view bytes, const OnLine& on_line, const OnTooLong& on_too_long) {
    while (!bytes.empty()) {
      const std::size_t end = bytes.find('\n');
      const std::string_view part = bytes.substr(0, end);
      if (!skipping_ && begun_.size() + part.size() > kMaxLineBytes) {
        skipping_ = true;
        begun_ = {};
        on_too_long();
      }
      if (!skipping_) begun_ += part;
      if (end == std::string_view::npos) return;
      bytes.remove_prefix(end + 1);
      const std::string line = std::exchange(begun_, {});
      if (!std::exchange(skipping_, false)) on_line(line);
    }
  }

 private:
  std::string begun_;
  bool skipping_ = false;
};

}  // namespace raftkv::cmd::maelstrom
