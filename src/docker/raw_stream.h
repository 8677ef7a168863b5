// raw_stream: the bytes on a connection that the daemon no longer speaks HTTP on.
#pragma once

#include <memory>
#include <string>

#include "docker/api.h"
#include "docker/connection.h"
#include "engine/reactor.h"

namespace casemate {

/// The stream of a connected `connection`; `first` are bytes of it that came with the head. An end by reset counts as its end.
std::unique_ptr<DockerStream> make_raw_stream(Reactor& reactor, std::unique_ptr<RawConnection> connection, std::string first);

}  // namespace casemate
