"""openvino-genai as a contender of `mix_bench`: a continuous-batching pipeline per model.

    python -m benchmarks.genai_contender JOB_JSON

prints its window as JSON. Everything is in this one process: prompts are token ids and answers
stay token ids, so no transport and no tokenizer is counted against it.
"""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.closed_loop import Answer, Pace, Watch, Window
from benchmarks.words import Prose
from skilld.engine.no_egress import openvino as ov

_CACHE_GB = 1


@dataclass(frozen=True, slots=True)
class Job:
    """What to run.

    Attributes:
        models: folder and tokenizer of each, by name.
        streams: of each model.
        prompt_tokens: of every request.
        output_tokens: of every request.
        num_threads: of each pipeline; None leaves every setting to openvino-genai.
        takes_turns: one thread steps all pipelines in turn; each has a thread otherwise.
        seed: of the prompts.
        pace: how long.
        opens_s: when the window opens, in the monotonic clock; None once all streams are answered.
    """

    models: dict[str, tuple[str, str]]
    streams: int
    prompt_tokens: int
    output_tokens: int
    num_threads: int | None
    takes_turns: bool
    seed: int
    pace: Pace
    opens_s: float | None = None

    def to_json(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        """What `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "pace": Pace(**values["pace"])})


class Pipeline:
    """One model and its streams, stepped by one thread.

    Args:
        name: of the model.
        folder: made by `genai_folder`.
        prose: where prompts come from.
        job: what to run.
        numbers: of its streams, unique over all models.
    """

    def __init__(
        self, name: str, folder: Path, *, prose: Prose, job: Job, numbers: list[int]
    ) -> None:
        import openvino_genai

        scheduling = openvino_genai.SchedulerConfig()
        scheduling.cache_size = _CACHE_GB
        properties: dict[str, Any] = {}
        if job.num_threads is not None:
            properties = {
                "INFERENCE_NUM_THREADS": job.num_threads,
                "KV_CACHE_PRECISION": "u8",
                "PERFORMANCE_HINT": "LATENCY",
            }
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(
            folder, scheduling, "CPU", properties
        )
        self._finished = openvino_genai.GenerationStatus.FINISHED
        self._generation = openvino_genai.GenerationConfig(
            max_new_tokens=job.output_tokens, ignore_eos=True, do_sample=False
        )
        self._name = name
        self._prose = prose
        self._job = job
        self._num_requests = 0
        self._handles: dict[int, Any] = dict.fromkeys(numbers)

    def turn(self, watch: Watch) -> None:
        """Take what is answered, ask anew, make one step."""
        for number, handle in self._handles.items():
            if handle is not None and handle.get_status() != self._finished:
                continue
            if handle is not None:
                (output,) = handle.read_all()
                assert len(output.generated_ids) == self._job.output_tokens
                watch.ended(number, Answer(self._job.prompt_tokens, len(output.generated_ids)))
            watch.began(number, self._name)
            self._handles[number] = self._ask()
        self._pipeline.step()

    def stop(self) -> None:
        """Let go of what is open; it complains of lost blocks otherwise."""
        for handle in self._handles.values():
            handle.cancel()
        self._pipeline.step()

    def _ask(self) -> Any:  # Any: a GenerationHandle
        self._num_requests += 1
        ids = self._prose.ids(self._prose.text(self._job.prompt_tokens))
        tensor = ov.Tensor(np.array([ids], dtype=np.int64))
        return self._pipeline.add_request(self._num_requests, tensor, self._generation)


def measure(job: Job) -> Window:
    """Run the job."""
    pipelines = [
        Pipeline(
            name,
            Path(folder),
            prose=Prose(Path(tokenizer), seed=job.seed + index),
            job=job,
            numbers=list(range(index * job.streams, (index + 1) * job.streams)),
        )
        for index, (name, (folder, tokenizer)) in enumerate(job.models.items())
    ]
    watch = Watch(Answer(job.prompt_tokens, job.output_tokens))
    groups = [pipelines] if job.takes_turns else [[pipeline] for pipeline in pipelines]
    threads = [threading.Thread(target=_keep_turning, args=(group, watch)) for group in groups]
    for thread in threads:
        thread.start()
    streams = range(len(pipelines) * job.streams)
    window = watch.observe(streams, job.pace, opens_s=job.opens_s)
    for thread in threads:
        thread.join()
    return window


def _keep_turning(pipelines: list[Pipeline], watch: Watch) -> None:
    try:
        while not watch.is_over:
            for pipeline in pipelines:
                pipeline.turn(watch)
        for pipeline in pipelines:
            pipeline.stop()
    except Exception as error:  # whatever it is, there is nothing left to measure
        watch.failed(error)


if __name__ == "__main__":
    print(json.dumps(measure(Job.from_json(sys.argv[1])).to_json()))
