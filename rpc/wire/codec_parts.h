// What do the files of the codec share? (included by them alone)
#pragma once

#include <cstddef>
#include <string>

#include <raftkv/status.h>

#include "lib/node/ports.h"
#include "rpc/wire/codec.h"

namespace raftkv::rpc {

inline constexpr std::size_t kMaxNameBytes = 256;
inline constexpr std::size_t kMaxAddressBytes = 1024;

/// Text that will appear in log lines: of bounded length, without control characters. `what` is its
/// name in the refusal.
Result<std::string> TakeText(capnp::Text::Reader text, std::size_t max_bytes, const char* what);

Status MalformedMessage(std::string what);

/// With its length: a plain C string would end at a zero byte.
inline capnp::Text::Reader AsText(const std::string& text) { return {text.c_str(), text.size()}; }

// --- codec_snapshot.cc
std::size_t EncodedWords(const node::SnapshotChunk& chunk);
void Encode(const node::ForwardJoin& join, wire::ForwardJoin::Builder to);
Result<node::ForwardJoin> Decode(wire::ForwardJoin::Reader join);
void Encode(const node::KnownBoots& known, wire::KnownBoots::Builder to);
Result<node::KnownBoots> Decode(wire::KnownBoots::Reader known);
void Encode(const node::SnapshotChunk& chunk, wire::SnapshotChunk::Builder to);
Result<node::SnapshotChunk> Decode(wire::SnapshotChunk::Reader chunk);
void Encode(const node::SnapshotChunkReply& reply, wire::SnapshotChunkReply::Builder to);
node::SnapshotChunkReply Decode(wire::SnapshotChunkReply::Reader reply);

}  // namespace raftkv::rpc
