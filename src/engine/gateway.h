// gateway: a user-mode network for one cell (pasta, else slirp4netns): out to the world, but not to the host's loopback or unix sockets.
#pragma once

#include <memory>
#include <string>

#include "casemate/result.h"
#include "sys/process.h"

namespace casemate {

/// One running gateway. The destructor ends it; so does the end of this process, even by SIGKILL.
class Gateway {
 public:
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;
  /// not_supported where neither program is installed or /dev/net/tun can't be opened, with what to install and which --network to choose
  /// instead.
  static Result<void> available();
  /// Starts a gateway in the namespaces. The cell's own step await_network waits until there is a route. `forward_resolver`: the host's
  /// resolver listens on its loopback; it is to answer at kGatewayResolver.
  static Result<std::unique_ptr<Gateway>> attach(int network_namespace, int user_namespace, bool forward_resolver);

  /// Readable when the gateway has ended, which ends the network.
  [[nodiscard]] int pidfd() const { return process_.pidfd(); }

 private:
  Gateway(ChildProcess keeper, UniqueFd engine) : process_(std::move(keeper)), engine_(std::move(engine)) {}
  ChildProcess process_;  ///< the keeper: a process of ours that ends the program when nobody holds `engine_` any more
  UniqueFd engine_;
};

}  // namespace casemate
