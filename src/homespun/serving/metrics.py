"""Numbers for Prometheus under vLLM's names (its docs/design/metrics.md), so that dashboards made
for it show this server. Each server has a registry of its own."""

from __future__ import annotations

import bisect
import itertools
import math
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from homespun.serving.computing import Said

if TYPE_CHECKING:
    from homespun.serving.tickets import Ticket
    from homespun.serving.worker import EngineWorker

_FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30)
_BETWEEN = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1)
_WHOLE = (0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60)
_WAIT = (0.0001, 0.001, 0.01, *_WHOLE[1:])
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000)
_MODEL = ("model_name",)
MetricT = TypeVar("MetricT", Counter, Histogram)


class Metrics:
    """Watches a worker (`worker.Watcher`)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._prompt = self._counter("prompt_tokens", "Tokens of prompts that were answered.")
        self._written = self._counter("generation_tokens", "Tokens of answers.")
        self._success = Counter(
            "vllm:request_success",
            "Answers that ended, by how.",
            (*_MODEL, "finished_reason"),
            registry=self.registry,
        )
        self._refused = Counter(
            "homespun:request_refused",
            "Requests that were refused, by HTTP status.",
            ("status",),
            registry=self.registry,
        )
        self._first = self._histogram("time_to_first_token_seconds", "To the first token.", _FIRST)
        self._between = TokenTimes("vllm:inter_token_latency_seconds", "Between tokens.", _BETWEEN)
        self.registry.register(self._between)
        self._whole = self._histogram("e2e_request_latency_seconds", "Whole requests.", _WHOLE)
        self._queue = self._histogram(
            "request_queue_time_seconds", "Until there was a place for it.", _WAIT
        )
        self._prefill = self._histogram(
            "request_prefill_time_seconds", "From its place to the first token.", _WAIT
        )
        self._inference = self._histogram(
            "request_inference_time_seconds", "From its place to the last token.", _WHOLE
        )
        self._decode = self._histogram(
            "request_decode_time_seconds", "From the first token to the last.", _WHOLE
        )
        self._prompt_size = self._histogram("request_prompt_tokens", "Tokens a prompt.", _TOKENS)
        self._size = self._histogram("request_generation_tokens", "Tokens an answer.", _TOKENS)
        self._refusals: dict[int, Counter] = {}
        self._first_at: dict[int, float] = {}
        self._by_model: dict[tuple[int, str], Counter | Histogram] = {}

    def watch(self, worker: EngineWorker, models: Sequence[str]) -> None:
        """Tell the engines' own numbers too."""
        self.registry.register(_EngineCollector(worker, models))

    def on_outputs(self, ticket: Ticket, outputs: Sequence[Said]) -> None:
        now = time.monotonic()
        num_new = sum(len(output.token_ids) for output in outputs)
        if num_new:
            self._of(self._written, ticket).inc(num_new)
            if id(ticket) not in self._first_at:
                self._first_at[id(ticket)] = now
                self._of(self._first, ticket).observe(now - ticket.begun)
                self._of(self._queue, ticket).observe(ticket.admitted - ticket.begun)
                self._of(self._prefill, ticket).observe(now - ticket.admitted)
            else:
                seconds = (now - ticket.last_output) / num_new
                self._between.observe(ticket.model, seconds, num_new)
        for output in outputs:
            if output.completion is not None:
                reason = output.completion.finish_reason
                self._success.labels(ticket.model, reason).inc()
                self._of(self._size, ticket).observe(len(output.completion.token_ids))

    def on_end(self, ticket: Ticket, reason: str) -> None:
        now = time.monotonic()
        first_at = self._first_at.pop(id(ticket), None)
        if reason == "stop":
            self._of(self._prompt, ticket).inc(ticket.num_prompt_tokens)
            self._of(self._prompt_size, ticket).observe(ticket.num_prompt_tokens)
            self._of(self._whole, ticket).observe(now - ticket.begun)
            if first_at is not None:
                self._of(self._decode, ticket).observe(now - first_at)
                self._of(self._inference, ticket).observe(now - ticket.admitted)
        else:
            self._success.labels(ticket.model, reason).inc()

    def _of(self, metric: MetricT, ticket: Ticket) -> MetricT:
        """The metric of a model; looking it up by its labels takes longer than counting."""
        key = (id(metric), ticket.model)
        found = self._by_model.get(key)
        if found is None:
            found = self._by_model[key] = metric.labels(ticket.model)
        return cast(MetricT, found)

    def on_refusal(self, status: int) -> None:
        found = self._refusals.get(status)
        if found is None:
            found = self._refusals[status] = self._refused.labels(str(status))
        found.inc()

    def text(self) -> bytes:
        return generate_latest(self.registry)

    def _counter(self, name: str, told: str) -> Counter:
        return Counter(f"vllm:{name}", told, _MODEL, registry=self.registry)

    def _histogram(self, name: str, told: str, buckets: Sequence[float]) -> Histogram:
        return Histogram(f"vllm:{name}", told, _MODEL, registry=self.registry, buckets=buckets)


class TokenTimes(Collector):
    """A histogram that counts many equal times at once: several tokens come together, thousands a
    second, and the library's own takes them one by one.

    Args:
        name, told: of the histogram.
        buckets: their upper bounds, the last one of all left out.
    """

    def __init__(self, name: str, told: str, buckets: Sequence[float]) -> None:
        self._name, self._told = name, told
        self._bounds = [*buckets, math.inf]
        self._counts: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}

    def observe(self, model: str, seconds: float, num: int) -> None:
        counts = self._counts.setdefault(model, [0] * len(self._bounds))
        counts[bisect.bisect_left(self._bounds, seconds)] += num
        self._sums[model] = self._sums.get(model, 0.0) + seconds * num

    def collect(self) -> Iterable[Metric]:
        found = HistogramMetricFamily(self._name, self._told, labels=_MODEL)
        for model, counts in self._counts.items():
            names = map(floatToGoString, self._bounds)
            sums = itertools.accumulate(counts)
            buckets = [(name, float(count)) for name, count in zip(names, sums, strict=True)]
            found.add_metric([model], buckets, self._sums[model])
        return [found]


class _EngineCollector(Collector):
    def __init__(self, worker: EngineWorker, models: Sequence[str]) -> None:
        self._worker = worker
        self._models = models

    def collect(self) -> Iterable[Metric]:
        def gauge(name: str, told: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(f"vllm:{name}", told, labels=_MODEL)

        def counter(name: str, told: str) -> CounterMetricFamily:
            return CounterMetricFamily(f"vllm:{name}", told, labels=_MODEL)

        running = gauge("num_requests_running", "Answers that are being written.")
        waiting = gauge("num_requests_waiting", "Answers that wait for a place.")
        used = gauge("kv_cache_usage_perc", "Share of the cache in use, 1 is all.")
        queries = counter("prefix_cache_queries", "Tokens of prompts looked up in the cache.")
        hits = counter("prefix_cache_hits", "Tokens of prompts found in the cache.")
        preempted = counter("num_preemptions", "Answers that had to give their place back.")
        for name in self._models:
            numbers = self._worker.numbers(name)
            running.add_metric([name], numbers.num_running)
            waiting.add_metric([name], numbers.num_waiting)
            taken = numbers.num_blocks - numbers.num_free_blocks
            used.add_metric([name], taken / max(1, numbers.num_blocks))
            queries.add_metric([name], numbers.num_prompt_tokens)
            hits.add_metric([name], numbers.num_cached_tokens)
            preempted.add_metric([name], numbers.num_preempted)
        restarts = CounterMetricFamily(
            "homespun:engine_restarts", "How often the process that computes was begun anew."
        )
        restarts.add_metric([], self._worker.num_restarts)
        broken = GaugeMetricFamily(
            "homespun:model_broken", "1 while a model cannot answer.", labels=_MODEL
        )
        for name in self._models:
            broken.add_metric([name], float(name in self._worker.broken))
        return [running, waiting, used, queries, hits, preempted, restarts, broken]
