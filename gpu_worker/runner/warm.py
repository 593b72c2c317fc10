"""Running requests in this process, with models kept warm from one to the next."""

from __future__ import annotations

import dataclasses
import errno
import importlib
import json
import os
import queue
import threading
import time
import traceback
import typing
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gpu_worker.checks import CHOOSES, check
from gpu_worker.contracts import (
    DRAWING,
    PHOTOGRAPH,
    Checkpoint,
    Done,
    Failed,
    GenerateRequest,
    LookRequest,
    Message,
    Notice,
    Output,
    PictureSpec,
    Progress,
    Request,
    RunError,
    SeriesRequest,
    Stopped,
    TrainRequest,
)
from gpu_worker.packs import Pack, digest_of, read_pack
from gpu_worker.runner import candidates

if TYPE_CHECKING:
    from PIL import Image

    from gpu_worker.contracts import Looked
    from gpu_worker.pipelines import Meta, Pipeline
    from gpu_worker.scorers.look import Looker

Emit = Callable[[Message], None]
Stop = Callable[[], bool]

FAMILIES: Final = {"sd": "gpu_worker.pipelines.sd.StableDiffusion"}
TRAINERS: Final = {"sd": "gpu_worker.trainers.lora.LoraTrainer"}
LOOKERS_KEPT: Final = 2
ASK_EVERY: Final = 0.25  # seconds between calls of should_stop, which may cost its caller a query


def thread_count() -> int:
    """How many cores a run may use: STUDIO_THREADS, else those this process may run on. Raises RunError."""
    told = os.environ.get("STUDIO_THREADS", "")
    if not told:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not told.isdigit() or not 1 <= int(told) <= 1024:
        raise RunError(f"STUDIO_THREADS is {told!r}; it must be a whole number from 1 to 1024.")
    return int(told)


class Runner:
    """Runs one request at a time, in a thread of its own; further ones wait their turn."""

    def __init__(self, *, device: str | None = None, threads: int | None = None) -> None:
        """`device`: `cpu`, `cuda`, `cuda:1`; None takes a GPU where there is one. `threads`: None asks
        `thread_count`."""
        self._device, self._threads = device, threads
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model-run")
        self._ready = False
        self._pipeline: tuple[str, Pipeline] | None = None
        self._lookers: dict[tuple[str, tuple[str, ...]], Looker] = {}

    def run(self, request: Request, workdir: Path, *, should_stop: Stop) -> Generator[Message, None, None]:
        """Yield what happens; the last message is Done, Stopped or Failed, and nothing is raised for what goes wrong in
        the run.

        Result files are in `workdir`, named by index, and whole when their Output comes. `should_stop` is called in the
        caller's thread, about four times a second and after each Checkpoint; after it turned true the run ends at its
        next step. At a Checkpoint the run waits for the caller to come back, who may copy the folder undisturbed.
        Closing the iterator stops the run, too.
        """
        messages: queue.Queue[Message] = queue.Queue(maxsize=32)
        stop, taken = threading.Event(), threading.Event()

        def emit(message: Message) -> None:
            messages.put(message)
            if isinstance(message, Checkpoint):
                taken.wait()
                taken.clear()

        work = self._executor.submit(self._work, request, Path(workdir).resolve(), emit, stop.is_set)
        asked = 0.0
        try:
            while True:
                if not stop.is_set() and time.monotonic() - asked >= ASK_EVERY:
                    asked = time.monotonic()
                    if should_stop():
                        stop.set()
                over = work.done()  # asked first: what it sent before it ended is in the queue by then
                try:
                    message = messages.get(timeout=0 if over else ASK_EVERY)
                except queue.Empty:
                    if not over:
                        continue
                    message = failure(work.exception() or RuntimeError("the run ended without an answer"))
                yield message
                if isinstance(message, Done | Stopped | Failed):
                    break
                if isinstance(message, Checkpoint):
                    if should_stop():
                        stop.set()
                    taken.set()
        finally:
            stop.set()
            _drain(work, messages, taken)

    def close(self) -> None:
        """Free models and thread; waits for a run to end."""
        self._executor.submit(self._unload).result()
        self._executor.shutdown()

    # --------------------------------------------------------------------------------- in the thread of the run
    def _work(self, request: Request, workdir: Path, emit: Emit, should_stop: Stop) -> None:
        try:
            if should_stop():
                emit(Stopped())
                return
            self._prepare(request)
            workdir.mkdir(parents=True, exist_ok=True)
            request = _resolved(request, workdir)
            pack = read_pack(request.pack)
            check(request, pack)
            if isinstance(request, GenerateRequest):
                self._generate(request, pack, workdir, emit, should_stop)
            elif isinstance(request, SeriesRequest):
                self._series(request, pack, workdir, emit, should_stop)
            elif isinstance(request, TrainRequest):
                self._train(request, pack, workdir, emit, should_stop)
            else:
                self._look(request, pack, emit, should_stop)
        except BaseException as error:
            emit(failure(error))
            if not isinstance(error, RunError):
                self._forget_pipeline()  # its state is unknown

    def _prepare(self, request: Request) -> None:
        if self._threads is None:
            self._threads = thread_count()
        if isinstance(request, LookRequest):  # faces are found without torch, and this spares a worker that only looks
            import cv2

            cv2.setNumThreads(1)  # each thread looks at pictures of its own
        elif not self._ready:
            # Nothing may be fetched in a run, and nothing but messages belongs on the output.
            os.environ.setdefault("HF_HUB_OFFLINE", "1")
            os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
            # Threads that wait should sleep: spinning, they take the cores from each other and from whoever else runs
            # here.
            os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
            import torch

            torch.set_num_threads(self._threads)
            self._device = self._device or ("cuda" if torch.cuda.is_available() else "cpu")
            self._ready = True

    def _generate(self, request: GenerateRequest, pack: Pack, workdir: Path, emit: Emit, should_stop: Stop) -> None:
        total = len(request.pictures) * request.steps * request.best_of
        _notice_unknown_words(
            pack, [p.prompt for p in request.pictures] + [request.negative_prompt], _trigger(request), emit
        )
        emit(Progress(step=0, total=total, note="Loading the model"))
        pipeline = self._warm_pipeline(pack)
        wanted = request.encoders if pack.encoders else ()
        if request.best_of > 1:
            wanted = tuple(dict.fromkeys([*wanted, CHOOSES]))
        looker = self._warm_looker(pack, wanted) if wanted else None
        for notice in pipeline.notices(request):
            emit(notice)

        def on_progress(done: int, of: int, note: str) -> None:
            emit(Progress(step=done, total=of, note=note))

        begun, made = time.perf_counter(), 0
        pictures = pipeline.generate(candidates.expanded(request), should_stop=should_stop, on_progress=on_progress)
        if looker is not None:
            pictures = candidates.looked_at(pictures, looker)
        for spec, picture, meta in candidates.best(pictures, request):
            path = workdir / f"picture-{spec.index:04d}.png"
            _save(picture, path)
            look = meta.pop("look", None)
            data = _provenance(request, pack, spec, picture, meta)
            if look is not None:
                data["look"] = looked_json(candidates.only(look, request.encoders))
            emit(Output(index=spec.index, kind="picture", path=path.name, sha256=digest_of(path), data=data))
            made += 1
        if made < len(request.pictures):
            emit(Stopped(step=made * request.steps * request.best_of))
        else:
            emit(Done(values={"pictures": float(made), "seconds": time.perf_counter() - begun}))

    def _series(self, request: SeriesRequest, pack: Pack, workdir: Path, emit: Emit, should_stop: Stop) -> None:
        """One part after the other, told as one run."""
        reads = self._attribute_reader(pack) if request.attributes and pack.attributes is not None else None
        total = sum(len(part.pictures) * part.steps * part.best_of for part in request.parts)
        count, before, begun = len(request.parts), 0, time.perf_counter()
        ends: list[Message] = []

        def relay(message: Message) -> None:
            match message:
                case Progress():
                    note = f"Part {len(ends) + 1} of {count}: {message.note}" if count > 1 else message.note
                    emit(dataclasses.replace(message, step=before + message.step, total=total, note=note))
                case Output() if reads is not None:
                    emit(reads(message, workdir))
                case Stopped():
                    ends.append(message)
                    emit(Stopped(step=before + message.step))
                case Done():
                    ends.append(message)
                case _:
                    emit(message)

        for part in request.parts:
            self._generate(part, pack, workdir, relay, should_stop)
            if isinstance(ends[-1], Stopped):
                return
            before += len(part.pictures) * part.steps * part.best_of
        made = sum(len(part.pictures) for part in request.parts)
        emit(Done(values={"pictures": float(made), "seconds": time.perf_counter() - begun}))

    def _attribute_reader(self, pack: Pack) -> Callable[[Output, Path], Output]:
        """What adds to a finished picture which words the pack's classifier finds in it."""
        from gpu_worker.scorers.picture import read_picture
        from gpu_worker.scorers.whole import AttributeReader

        reader = AttributeReader(pack, self._threads or 1, device=self._device or "cpu")

        def read(output: Output, workdir: Path) -> Output:
            found = reader.read([read_picture(workdir / output.path)])[0]
            return dataclasses.replace(
                output, data={**output.data, "attributes": {k: list(v) for k, v in found.items()}}
            )

        return read

    def _train(self, request: TrainRequest, pack: Pack, workdir: Path, emit: Emit, should_stop: Stop) -> None:
        if pack.family not in TRAINERS:
            raise RunError(f"Nothing here trains models of the family {pack.family}.")
        _notice_unknown_words(pack, [picture.caption for picture in request.pictures], request.trigger, emit)
        if self._device != "cpu":
            self._forget_pipeline()  # training needs the memory
        begun = time.perf_counter()
        trainer = _named(TRAINERS[pack.family])(request, pack, self._device, workdir)
        for message in trainer.run(should_stop):
            if isinstance(message, Output) and message.kind == "sample" and request.encoders and pack.encoders:
                emit(self._looked_at(message, request, pack, workdir))
                continue
            emit(message)
            if isinstance(message, Stopped):
                return
        emit(Done(values={"steps": float(request.steps), "seconds": time.perf_counter() - begun}))

    def _looked_at(self, sample: Output, request: TrainRequest, pack: Pack, workdir: Path) -> Output:
        """The sample with what the encoders see in it: whether the training comes nearer to the person."""
        from gpu_worker.scorers.picture import read_picture

        seen = self._warm_looker(pack, request.encoders).look(read_picture(workdir / sample.path))
        return dataclasses.replace(sample, data={**sample.data, "look": looked_json(seen)})

    def _look(self, request: LookRequest, pack: Pack, emit: Emit, should_stop: Stop) -> None:
        total = len(request.pictures)
        known = {one.index: one.seen for one in request.known}
        files = [Path(name) for index, name in enumerate(request.pictures) if index not in known]
        emit(Progress(step=0, total=total, note="Loading the encoders"))
        answers = self._warm_looker(pack, request.encoders).look_each(files) if files else iter(())
        begun, unread = time.perf_counter(), []
        for index in range(total):
            if should_stop():
                emit(Stopped(step=index))
                return
            seen = known[index] if index in known else next(answers)
            if isinstance(seen, RunError):
                unread.append(seen)
                emit(Notice(code="unreadable-picture", sentence=str(seen), data={"index": index}))
            else:
                _notice_domain(pack, index, seen, emit)
                emit(Output(index=index, kind="look", data=looked_json(seen)))
            emit(Progress(step=index + 1, total=total, note=f"Picture {index + 1} of {total}"))
        if len(unread) == total:
            raise unread[0]
        emit(Done(values={"pictures": float(total - len(unread)), "seconds": time.perf_counter() - begun}))

    # ------------------------------------------------------------------------------------------------- warmth
    def _warm_pipeline(self, pack: Pack) -> Pipeline:
        if pack.family not in FAMILIES:
            raise RunError(f"Nothing here makes pictures with models of the family {pack.family}.")
        key = f"{pack.directory.resolve()} {pack.sha256}"
        if self._pipeline is None or self._pipeline[0] != key:
            self._forget_pipeline()
            pipeline: Pipeline = _named(FAMILIES[pack.family])()
            pipeline.load(pack, self._device or "cpu")
            self._pipeline = (key, pipeline)
        return self._pipeline[1]

    def _warm_looker(self, pack: Pack, encoders: tuple[str, ...]) -> Looker:
        from gpu_worker.scorers.look import Looker

        key = (f"{pack.directory.resolve()} {pack.sha256}", tuple(encoders))
        looker = self._lookers.pop(key, None) or Looker(
            pack, encoders, threads=self._threads or 1, device=self._device or "cpu"
        )
        self._lookers[key] = looker  # last used, last in line
        while len(self._lookers) > LOOKERS_KEPT:
            del self._lookers[next(iter(self._lookers))]
        return looker

    def _forget_pipeline(self) -> None:
        if self._pipeline is not None:
            pipeline, self._pipeline = self._pipeline[1], None
            pipeline.unload()

    def _unload(self) -> None:
        self._forget_pipeline()
        self._lookers.clear()


# ------------------------------------------------------------------------------------------------------ pieces
def failure(error: BaseException) -> Failed:
    """The last message of a run that ended with `error`."""
    detail = "".join(traceback.format_exception(error))[-20_000:]
    if isinstance(error, RunError):
        return Failed(sentence=str(error), retryable=error.retryable, detail=detail if error.__cause__ else "")
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        text = "The memory ran out. Try again when the machine is less busy, or choose smaller pictures or batches."
        return Failed(sentence=text, retryable=True, detail=detail)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        text = "The worker's disk is full. Free some space on it, then try again."
        return Failed(sentence=text, retryable=True, detail=detail)
    text = "Something unexpected went wrong in the model run. Try again; if it stays so, show an operator the details."
    return Failed(sentence=text, detail=detail)


def looked_json(looked: Looked) -> dict[str, Any]:
    """What `contracts.looked_from_json` takes."""
    plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(looked), allow_nan=False))
    return plain


def _resolved(request: Request, workdir: Path) -> Request:
    """The request with its paths absolute: those that are not, are relative to the working directory."""

    def full(path: str) -> str:
        return str(workdir / path) if path else path

    request = dataclasses.replace(request, pack=full(request.pack))
    if isinstance(request, SeriesRequest):
        parts = tuple(typing.cast("GenerateRequest", _resolved(part, workdir)) for part in request.parts)
        return dataclasses.replace(request, parts=parts)
    if isinstance(request, GenerateRequest):
        adapter = request.adapter and dataclasses.replace(request.adapter, path=full(request.adapter.path))
        return dataclasses.replace(request, adapter=adapter)
    if isinstance(request, TrainRequest):
        pictures = tuple(dataclasses.replace(picture, path=full(picture.path)) for picture in request.pictures)
        return dataclasses.replace(request, pictures=pictures, checkpoint_dir=full(request.checkpoint_dir))
    return dataclasses.replace(request, pictures=tuple(full(path) for path in request.pictures))


def _provenance(
    request: GenerateRequest, pack: Pack, spec: PictureSpec, picture: Image.Image, meta: Meta
) -> dict[str, Any]:
    adapter, identity = request.adapter, request.identity
    return {
        "prompt": spec.prompt,
        "negative_prompt": request.negative_prompt,
        "seed": spec.seed,
        "width": picture.width,
        "height": picture.height,
        "steps": request.steps,
        "guidance": request.guidance,
        "model": {"name": pack.name, "version": pack.version, "sha256": pack.sha256},
        "adapter": adapter and {"sha256": adapter.sha256, "strength": adapter.strength},
        "identity": identity and {"strength": identity.strength},
        **meta,
    }


def _trigger(request: GenerateRequest) -> str:
    """The trigger phrase that the adapter's metadata names, read from the header of the safetensors file."""
    if request.adapter is None:
        return ""
    try:
        with Path(request.adapter.path).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= 100_000_000 else {}
        return str(header.get("__metadata__", {}).get("modelspec.trigger_phrase", ""))
    except (OSError, ValueError, AttributeError):
        return ""  # the pipeline will say what is wrong with the file


def _notice_unknown_words(pack: Pack, prompts: list[str], trigger: str, emit: Emit) -> None:
    found = list(dict.fromkeys(word for prompt in prompts for word in pack.unknown_words(prompt, known=[trigger])))
    if found:
        some = ", ".join(found[:20]) + (" and others" if len(found) > 20 else "")
        text = f"The model {pack.name} knows a fixed list of words. It does not know: {some}."
        emit(Notice(code="unknown-words", sentence=text, data={"words": found}))


def _notice_domain(pack: Pack, index: int, looked: Looked, emit: Emit) -> None:
    if pack.domain == "illustration" and looked.photographic >= PHOTOGRAPH:
        looks, knows = "like a photograph", "illustrations"
    elif pack.domain == "photograph" and looked.photographic < DRAWING:
        looks, knows = "drawn", "photographs"
    else:
        return
    text = f"Picture {index + 1} looks {looks}. The model {pack.name} knows only {knows}; it will not follow it well."
    emit(Notice(code="out-of-domain", sentence=text, data={"index": index, "photographic": looked.photographic}))


def _save(picture: Image.Image, path: Path) -> None:
    """Whole or not at all under its name."""
    partial = path.with_suffix(".partial")
    picture.save(partial, format="PNG")
    partial.replace(path)


def _named(dotted: str) -> Any:
    module, _, name = dotted.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _drain(work: Future[None], messages: queue.Queue[Message], taken: threading.Event) -> None:
    """Let a run that was left end: it may be waiting for a place in the queue, or at a checkpoint."""
    while not work.done():
        taken.set()
        try:
            messages.get(timeout=0.05)
        except queue.Empty:
            pass
