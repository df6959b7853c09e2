"""Training: one loop, and what it is made of. Reading order:

loop        `train`: steps, checkpoints, evaluations, interruptions, until a limit is reached
health      a run that watches itself: spikes, findings, lack of memory
stage       the pieces of it: state, trainee, steps, evaluations, saves
config      TrainConfig, TrainResult; the settings a stage is held to
step        one step: micro batches, clipping, skipping what is not finite
objectives  what is learned: causal, taught, truncated, masked, seq2seq, chat, classify, tag …
data        batches of a token stream, of conversations, with hidden words; ramp: growing ones
ema         averages of the weights; regularisation: dropout and decay for texts read often
optim       AdamW, Muon, SGD, and the learning rate over a run
distributed several processes that train one model
limits      steps or working seconds; interrupt: signals held back until a step is saved
checkpoint  whole or absent, verified when read
metrics     metrics.jsonl and TensorBoard events
machine     how fast this machine is; resources: threads and memory
"""

from homespun.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_weights,
    read_done,
    save_checkpoint,
)
from homespun.training.config import BestConfig, KeptWeights, TrainConfig, TrainResult
from homespun.training.data import (
    IGNORED,
    Batch,
    BatchSource,
    Example,
    ExampleBatch,
    ExampleBatches,
    PairBatch,
    PairBatches,
    TaskBatch,
    TaskBatches,
    TokenBatches,
    TurnBatches,
    example_batch,
    pair_batch,
)
from homespun.training.data.denoising import SpanBatches
from homespun.training.data.masking import MaskedBatches, Words
from homespun.training.data.mixture import MixedBatches
from homespun.training.data.packing import ChatBatches, PackingStats
from homespun.training.distributed import ParallelConfig
from homespun.training.ema import EmaConfig, WeightAverage
from homespun.training.health import HealthConfig, SpikeConfig, Watch
from homespun.training.loop import train
from homespun.training.objectives import (
    CausalObjective,
    ChatObjective,
    ClassifyObjective,
    ContrastiveObjective,
    JointObjective,
    MaskedObjective,
    PrefixObjective,
    Seq2SeqObjective,
    TagObjective,
    TaughtObjective,
    Teacher,
    TruncatedObjective,
)
from homespun.training.optim import (
    KindConfig,
    KindsConfig,
    OptimizerConfig,
    ScheduleConfig,
    beta2_for,
    build_optimizer,
)
from homespun.training.ramp import Phase, RampConfig, RampedBatches, RampPhase
from homespun.training.regularisation import RECURRENT, Regularisation, regularisation
from homespun.training.resources import peak_memory_bytes, set_threads
from homespun.training.stage import Evaluate, Judge, held_out_loss

__all__ = [
    "IGNORED",
    "RECURRENT",
    "Batch",
    "BatchSource",
    "BestConfig",
    "CausalObjective",
    "ChatBatches",
    "ChatObjective",
    "Checkpoint",
    "ClassifyObjective",
    "ContrastiveObjective",
    "EmaConfig",
    "Evaluate",
    "Example",
    "ExampleBatch",
    "ExampleBatches",
    "HealthConfig",
    "JointObjective",
    "Judge",
    "KeptWeights",
    "KindConfig",
    "KindsConfig",
    "MaskedBatches",
    "MaskedObjective",
    "MixedBatches",
    "OptimizerConfig",
    "PackingStats",
    "PairBatch",
    "PairBatches",
    "ParallelConfig",
    "Phase",
    "PrefixObjective",
    "RampConfig",
    "RampPhase",
    "RampedBatches",
    "Regularisation",
    "ScheduleConfig",
    "Seq2SeqObjective",
    "SpanBatches",
    "SpikeConfig",
    "TagObjective",
    "TaskBatch",
    "TaskBatches",
    "TaughtObjective",
    "Teacher",
    "TokenBatches",
    "TrainConfig",
    "TrainResult",
    "TruncatedObjective",
    "TurnBatches",
    "Watch",
    "WeightAverage",
    "Words",
    "beta2_for",
    "build_optimizer",
    "example_batch",
    "held_out_loss",
    "load_checkpoint",
    "load_weights",
    "pair_batch",
    "peak_memory_bytes",
    "read_done",
    "regularisation",
    "save_checkpoint",
    "set_threads",
    "train",
]
