// How does a seed come into its folder?
#pragma once

#include <string>
#include <string_view>

namespace raftkv::fuzz {

void Seed(const std::string& target, const std::string& name, std::string_view bytes);
/// Of a target whose first byte chooses the case.
void Seed(const std::string& target, unsigned char which, const std::string& name,
          std::string_view bytes);

void SeedRequests();
void SeedReads();
void SeedWatches();
void SeedEtcdMessages();
void SeedEtcdHttp2();

}  // namespace raftkv::fuzz
