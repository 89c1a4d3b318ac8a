// LibTorch's own CUDA graphs behind C functions, for cuda.rs.
//
// build.rs compiles it where CUDA's headers are, into a library that the program carries inside and opens once LibTorch's
// CUDA half is loaded; it links against nothing itself. No exception leaves it: a function returns null, or what went
// wrong, a text that lives until the thread's next call.

#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <ATen/core/CachingHostAllocator.h>
#include <ATen/core/grad_mode.h>
#include <ATen/cuda/CUDAGraph.h>
#include <ATen/ops/_foreach_copy.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAGuard.h>

namespace {

using c10::cuda::CUDAStream;

template <typename Work>
const char* guarded(Work work) {
  static thread_local std::string failure;
  try {
    work();
    return nullptr;
  } catch (const c10::Error& error) {
    failure = error.what_without_backtrace();
  } catch (const std::exception& error) {
    failure = error.what();
  } catch (...) {
    failure = "an exception of an unknown type";
  }
  return failure.c_str();
}

// One side stream for each thread and device: what LibTorch keeps for a stream (workspaces of cuBLAS) is then made once.
CUDAStream side_stream(c10::DeviceIndex device) {
  static thread_local std::map<c10::DeviceIndex, CUDAStream> streams;
  const auto found = streams.find(device);
  if (found != streams.end()) {
    return found->second;
  }
  return streams.emplace(device, c10::cuda::getStreamFromPool(false, device)).first->second;
}

// Has what `waiting` is given from now on wait for what `other` was given so far.
void wait(const CUDAStream& waiting, const CUDAStream& other) {
  c10::cuda::CUDAEvent event;
  event.record(other);
  event.block(waiting);
}

// While it holds a guard, the thread's work goes to its side stream.
thread_local std::optional<c10::cuda::CUDAStreamGuard> aside;

struct Graph : at::cuda::CUDAGraph {
  // A capture that fails before its end stays registered with the allocators, which would go on asking this graph which
  // memory is its own, and would never again reuse what several streams have used.
  void abandon() {
    if (capture_ended_ || capture_dev_ == UNDEFINED_DEVICE) {
      return;
    }
    try {
      c10::cuda::CUDACachingAllocator::endAllocateToPool(capture_dev_, mempool_id_);
      c10::cuda::CUDACachingAllocator::releasePool(capture_dev_, mempool_id_);
    } catch (...) {
      // It was not registered any more.
    }
    try {
      at::getHostAllocator(at::kCUDA)->end_allocate_to_pool(mempool_id_);
      at::getHostAllocator(at::kCUDA)->release_pool(mempool_id_);
    } catch (...) {
      // Nor here.
    }
  }
};

}  // namespace

extern "C" {

// Sends the thread's work to its side stream, after what the current stream has been given.
const char* gta_graph_enter(int device) {
  return guarded([&] {
    const auto index = static_cast<c10::DeviceIndex>(device);
    const CUDAStream side = side_stream(index);
    wait(side, c10::cuda::getCurrentCUDAStream(index));
    aside.emplace(side);
  });
}

// Sends it to the stream of before again, which waits for the side stream.
const char* gta_graph_leave() {
  return guarded([&] {
    TORCH_CHECK(aside.has_value(), "the thread is not on its side stream");
    const CUDAStream side = aside->current_stream();
    aside.reset();
    wait(c10::cuda::getCurrentCUDAStream(side.device_index()), side);
  });
}

// From here to the end, the thread's work on its side stream is recorded and not done. Only this thread is kept from
// what a capture forbids; others may allocate meanwhile.
const char* gta_graph_begin(Graph** made) {
  return guarded([&] {
    // A record takes memory of its own; what the warm-up took and gave back would stand beside it unused.
    c10::cuda::CUDACachingAllocator::emptyCache();
    auto graph = std::make_unique<Graph>();
    try {
      graph->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    } catch (...) {
      graph->abandon();
      throw;
    }
    *made = graph.release();
  });
}

const char* gta_graph_end(Graph* graph) {
  return guarded([&] {
    try {
      graph->capture_end();
    } catch (...) {
      graph->abandon();
      throw;
    }
  });
}

// Copies each of `count` tensors of `from` into that of `into`, as one launch where kinds and layouts agree.
const char* gta_graph_refill(at::Tensor* const* into, const at::Tensor* const* from, size_t count) {
  return guarded([&] {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> targets, sources;
    for (size_t i = 0; i < count; i++) {
      targets.push_back(*into[i]);
      sources.push_back(*from[i]);
    }
    at::_foreach_copy_(targets, sources, /*non_blocking=*/true);
  });
}

// Does what was recorded, on the current stream.
const char* gta_graph_replay(Graph* graph) {
  return guarded([&] { graph->replay(); });
}

void gta_graph_free(Graph* graph) {
  delete graph;
}

}  // extern "C"
