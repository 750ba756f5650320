// txn-list-append: is there an order of all transactions, each within its time, that explains what
// every read was told?
//
// As Elle has it: each element is appended once, so the longest list that was read of a key tells
// the order of its writes, and every other read must be a beginning of it. From that, and from what
// had ended before what else was asked, follows which transactions come before which others. If
// none comes before itself, there is such an order.
#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/support/maelstrom/maelstrom_txn.h"
#include "tests/support/maelstrom/maelstrom_txn_graph.h"

namespace raftkv::test::maelstrom {
namespace {

using Elements = std::vector<std::string>;
using Tell = std::function<void(const std::string& problem)>;

Elements ElementsOf(const Json& list) {
  Elements elements;
  if (list.is_null()) return elements;  // no such key
  for (const Json& element : list) elements.push_back(element.dump());
  return elements;
}

std::string Show(const Elements& list) {
  constexpr std::size_t kMostShown = 600;
  std::string text = "[";
  for (const std::string& element : list) text += (text.size() > 1 ? "," : "") + element;
  text += "]";
  return text.size() <= kMostShown ? text : ".." + text.substr(text.size() - kMostShown);
}

bool StartsWith(const Elements& list, const Elements& beginning) {
  return beginning.size() <= list.size() &&
         std::equal(beginning.begin(), beginning.end(), list.begin());
}

bool EndsWith(const Elements& list, const Elements& end) {
  return end.size() <= list.size() && std::equal(end.rbegin(), end.rend(), list.rbegin());
}

struct Append {
  std::size_t transaction = 0;
  std::string key;
};

struct Read {
  std::size_t transaction = 0;
  Elements list;
};

struct Key {
  std::vector<Read> reads;
  /// What each transaction appends, in its order.
  std::map<std::size_t, Elements> appends;
  std::size_t longest = 0;  ///< the read
  [[nodiscard]] const Elements& order() const {
    static const Elements kNone;
    return reads.empty() ? kNone : reads[longest].list;
  }
};

class ListJudge {
 public:
  ListJudge(const std::vector<Transaction>& transactions, Tell tell)
      : transactions_(transactions), tell_(std::move(tell)), part_(transactions.size()) {}

  void Run() {
    for (std::size_t i = 0; i < transactions_.size(); ++i) Gather(i);
    for (std::size_t i = 0; i < transactions_.size(); ++i) {
      if (transactions_[i].outcome == Outcome::kOk) CheckWithin(i);
    }
    for (auto& [name, key] : keys_) CheckReads(name, key);
    if (found_) return;
    for (const auto& [name, key] : keys_) CheckWhole(name, key);
    if (found_) return;
    TxnGraph graph(transactions_.size());
    for (const auto& [name, key] : keys_) AddEdges(name, key, graph);
    graph.AddRealTime(transactions_, part_);
    const auto circle = graph.FindCircle();
    if (!circle.empty()) ReportCircle(circle);
  }

 private:
  void Report(const std::string& problem) {
    found_ = true;
    tell_("not strictly serializable: " + problem);
  }
  [[nodiscard]] std::string Describe(std::size_t i) const {
    return "\n  " + maelstrom::Describe(transactions_[i], i);
  }
  [[nodiscard]] std::size_t WriterOf(const std::string& element) const {
    return appends_.at(element).transaction;
  }

  void Gather(std::size_t i) {
    const bool is_ok = transactions_[i].outcome == Outcome::kOk;
    part_[i] = is_ok;
    for (const Json& operation : transactions_[i].operations) {
      const std::string name = KeyOf(operation);
      if (!IsRead(operation)) {
        const std::string element = ValueOf(operation);
        appends_[element] = {i, name};
        keys_[name].appends[i].push_back(element);
      } else if (is_ok && (operation.at(2).is_array() || operation.at(2).is_null())) {
        keys_[name].reads.push_back({i, ElementsOf(operation.at(2))});
      } else if (is_ok) {
        Report("key " + name + " was read, and is no list" + Describe(i));
      }
    }
  }

  /// Does it see what it has read and appended before?
  void CheckWithin(std::size_t i) {
    struct Known {
      std::optional<Elements> read;
      Elements own;  ///< since then
    };
    std::map<std::string, Known> keys;
    for (const Json& operation : transactions_[i].operations) {
      Known& known = keys[KeyOf(operation)];
      if (!IsRead(operation)) {
        known.own.push_back(ValueOf(operation));
        continue;
      }
      Elements list = ElementsOf(operation.at(2));
      bool fits = EndsWith(list, known.own);
      if (known.read) {
        fits = fits && list.size() == known.read->size() + known.own.size() &&
               StartsWith(list, *known.read);
      }
      if (!fits) {
        Report("a read of key " + KeyOf(operation) +
               " does not fit what its own transaction read and appended before" + Describe(i));
      }
      known.read = std::move(list);
      known.own.clear();
    }
  }

  /// Are all reads beginnings of the longest, and are the elements of that there by right?
  void CheckReads(const std::string& name, Key& key) {
    for (std::size_t i = 0; i < key.reads.size(); ++i) {
      if (key.reads[i].list.size() > key.order().size()) key.longest = i;
    }
    for (const Read& read : key.reads) {
      if (StartsWith(key.order(), read.list)) continue;
      return Report("key " + name + " was read as " + Show(read.list) + " and as " +
                    Show(key.order()) + ", of which neither is a beginning of the other" +
                    Describe(read.transaction) + Describe(key.reads[key.longest].transaction));
    }
    std::set<std::string> seen;
    for (const std::string& element : key.order()) {
      const std::string read = "element " + element + " of key " + name;
      const auto append = appends_.find(element);
      if (append == appends_.end()) {
        Report(read + " was appended by nobody" + Describe(key.reads[key.longest].transaction));
        continue;
      }
      const std::size_t writer = append->second.transaction;
      if (append->second.key != name) {
        Report(read + " was appended to key " + append->second.key + Describe(writer));
      }
      if (!seen.insert(element).second) Report(read + " is there twice" + Describe(writer));
      if (transactions_[writer].outcome == Outcome::kFailed) {
        Report(read + " is of a transaction that failed" + Describe(writer));
      }
      part_[writer] = true;  // even if nobody was told so
    }
  }

  /// Does everybody but itself see all that a transaction appends to a key, next to each other?
  void CheckWhole(const std::string& name, const Key& key) {
    const Elements& order = key.order();
    for (std::size_t i = 0; i < order.size();) {
      const std::size_t writer = WriterOf(order[i]);
      const Elements& own = key.appends.at(writer);
      for (std::size_t j = 0; j < own.size() && i + j < order.size(); ++j) {
        if (order[i + j] == own[j]) continue;
        return Report("key " + name + " is " + Show(order) + ", where the appends " + Show(own) +
                      " of one transaction are not next to each other and in order" +
                      Describe(writer));
      }
      i += own.size();
    }
    for (const Read& read : key.reads) {
      if (read.list.empty()) continue;
      const std::size_t writer = WriterOf(read.list.back());
      if (writer == read.transaction || key.appends.at(writer).back() == read.list.back()) continue;
      return Report("key " + name + " was read between two appends of one transaction" +
                    Describe(read.transaction) + Describe(writer));
    }
  }

  void AddEdges(const std::string& name, const Key& key, TxnGraph& graph) const {
    const Elements& order = key.order();
    for (std::size_t i = 0; i + 1 < order.size(); ++i) {
      AddFollows(name, order[i], order[i + 1], graph);
    }
    // What nobody has seen, though it was carried out, comes after all that somebody has seen.
    std::vector<std::string> unseen;
    for (const auto& [transaction, own] : key.appends) {
      if (!part_[transaction]) continue;
      if (std::find(order.begin(), order.end(), own.front()) == order.end()) {
        unseen.push_back(own.front());
      }
    }
    for (const std::string& element : unseen) {
      if (!order.empty()) AddFollows(name, order.back(), element, graph);
    }
    for (const Read& read : key.reads) {
      const std::size_t length = read.list.size();
      if (length > 0) {
        graph.Add(WriterOf(order[length - 1]), read.transaction,
                  "appended " + order[length - 1] + ", the last that #" +
                      std::to_string(read.transaction) + " read of key " + name);
      }
      if (length < order.size()) {
        AddMisses(name, read, order[length], graph);
      } else {
        for (const std::string& element : unseen) AddMisses(name, read, element, graph);
      }
    }
  }

  void AddFollows(const std::string& name, const std::string& element, const std::string& next,
                  TxnGraph& graph) const {
    const std::size_t writer = WriterOf(next);
    graph.Add(
        WriterOf(element), writer,
        "appended " + element + " to key " + name + ", before " + next + " of #" + Number(writer));
  }

  void AddMisses(const std::string& name, const Read& read, const std::string& element,
                 TxnGraph& graph) const {
    const std::size_t writer = WriterOf(element);
    graph.Add(
        read.transaction, writer,
        "read key " + name + " without " + element + ", which #" + Number(writer) + " appended");
  }

  static std::string Number(std::size_t i) { return std::to_string(i); }

  void ReportCircle(const std::vector<TxnGraph::Step>& circle) {
    std::string text =
        "each of these transactions comes before the next one, and the last before the first";
    for (const TxnGraph::Step& step : circle) {
      text += Describe(step.from) + "\n    #" + Number(step.from) + " " + step.why;
    }
    Report(text);
  }

  const std::vector<Transaction>& transactions_;
  const Tell tell_;
  /// Has taken effect: it ended ok, or somebody has seen an element of it.
  std::vector<bool> part_;
  std::unordered_map<std::string, Append> appends_;  ///< by element
  std::map<std::string, Key> keys_;
  bool found_ = false;
};

class TxnList : public TxnWorkload {
 public:
  TxnList() : TxnWorkload("append") {}

 private:
  void OnJudge() override {
    ListJudge(transactions(), [this](const std::string& problem) { Report(problem); }).Run();
  }
};

}  // namespace

std::unique_ptr<Workload> NewTxnList() { return std::make_unique<TxnList>(); }

}  // namespace raftkv::test::maelstrom
