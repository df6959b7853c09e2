"""An optimiser whose parameters are dealt to processes, each of which runs an ordinary one.

AdamW and SGD look at one number at a time: each process updates its own rows. Muon makes a whole
matrix orthogonal: each matrix has an owner, who keeps it whole, gets the rows of its gradient from
all, makes the update and sends the new rows back; two all-to-all exchanges a step, whatever the
number of matrices. So every process runs the very optimiser that a single process would, over the
tensors that are its own, and what it computes is the same.

Keeping the owned matrices whole costs 4 bytes a parameter over the number of processes, and saves
gathering the weights as well.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import torch
from torch import Tensor, nn

from homespun.models import ParameterKind
from homespun.training.distributed.layout import Layout, choose_owners, rows_of
from homespun.training.distributed.tensors import Gathered
from homespun.training.optim import Optimizer, OptimizerConfig, build_optimizer


class OwnedOptimizer:
    """Args:
    layout: where the parameters are.
    kinds: of the parameters by name.
    config: of the optimiser.
    dtype: of Muon's products.
    frozen: parameters that no gradient is wanted for: they stay as they are and have no state.
    """

    def __init__(
        self,
        layout: Layout,
        kinds: Mapping[str, ParameterKind],
        config: OptimizerConfig,
        *,
        dtype: torch.dtype,
        frozen: Collection[str] = (),
    ) -> None:
        self._layout = layout
        shapes = {name: shape for name, shape in layout.shapes.items() if name not in frozen}
        whole = {
            name: shape
            for name, shape in shapes.items()
            if config.kind == "muon" and kinds[name] == "matrix" and len(shape) == 2
        }
        self._owners = choose_owners(whole, layout.world.size)
        own: dict[str, Tensor] = {}
        for name in shapes:  # in the model's order, as a single process has them
            if name not in whole:
                own[name] = layout.local[name].detach()
                continue
            matrix = layout.gather(layout.local[name], shapes[name])
            if self._is_mine(name):
                own[name] = matrix.clone()
        self._own = own
        self._inner = _build(own, kinds, config, dtype)
        # What a single process would keep, without its memory: names and shapes of the whole state.
        everything = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
        state = _build(everything, kinds, config, dtype).state_tensors()
        self._shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        self._dtypes = {name: tensor.dtype for name, tensor in state.items()}
        self._parameter_of = {name: _parameter_of(name, shapes) for name in state}

    def _is_mine(self, name: str) -> bool:
        return self._owners[name] == self._layout.world.rank

    def set_progress(self, progress: float) -> None:
        self._inner.set_progress(progress)

    @torch.no_grad()
    def step(self, lr_scale: float) -> None:
        """Apply `layout.gradients`."""
        gradients = self._layout.gradients
        for name, tensor in self._own.items():
            if name not in self._owners:
                tensor.grad = gradients.get(name)
        for name, gradient in self._collect(gradients):
            self._own[name].grad = gradient
        self._inner.step(lr_scale)
        for tensor in self._own.values():
            tensor.grad = None
        self._hand_out()

    def _collect(self, gradients: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """The whole gradients of this process's matrices."""
        layout, world = self._layout, self._layout.world
        sent = [
            [
                gradients.get(name, torch.zeros_like(layout.local[name])).flatten()
                for name in self._of(rank)
            ]
            for rank in range(world.size)
        ]
        mine = self._of(world.rank)
        sizes = [sum(self._num_elements(name, rank) for name in mine) for rank in range(world.size)]
        received = self._exchange(sent, sizes)
        parts: dict[str, list[Tensor]] = {name: [] for name in mine}
        for rank, part in enumerate(received):
            lengths = [self._num_elements(name, rank) for name in mine]
            for name, rows in zip(mine, torch.split(part, lengths), strict=True):
                parts[name].append(rows)
        for name in mine:
            yield name, torch.cat(parts[name]).view(layout.shapes[name])

    def _hand_out(self) -> None:
        """The new rows of every matrix to whoever holds them."""
        layout, world = self._layout, self._layout.world
        mine = self._of(world.rank)
        sent = [
            [self._own[n][rows_of(layout.shapes[n][0], world, rank=rank)].flatten() for n in mine]
            for rank in range(world.size)
        ]
        theirs = [self._of(rank) for rank in range(world.size)]
        sizes = [sum(layout.local[name].numel() for name in names) for names in theirs]
        for names, part in zip(theirs, self._exchange(sent, sizes), strict=True):
            for name, rows in zip(
                names, torch.split(part, [layout.local[n].numel() for n in names]), strict=True
            ):
                layout.local[name].copy_(rows.view_as(layout.local[name]))

    def _exchange(self, sent: list[list[Tensor]], sizes: list[int]) -> list[Tensor]:
        """Send process i the tensors `sent[i]`; returns what each sent, `sizes` numbers."""
        import torch.distributed as dist

        if not self._owners:
            return [torch.empty(0) for _ in sizes]
        device = self._layout.world.device
        empty = torch.empty(0, device=device)
        flat = torch.cat([empty, *(tensor for part in sent for tensor in part)])
        received = torch.empty(sum(sizes), device=device)
        sent_sizes = [sum(tensor.numel() for tensor in part) for part in sent]
        dist.all_to_all_single(received, flat, sizes, sent_sizes)
        return list(torch.split(received, sizes))

    def _of(self, rank: int) -> list[str]:
        return [name for name, owner in self._owners.items() if owner == rank]

    def _num_elements(self, name: str, rank: int) -> int:
        rows, columns = self._layout.shapes[name]
        held = rows_of(rows, self._layout.world, rank=rank)
        return int(held.stop - held.start) * columns

    def held(self) -> list[Tensor]:
        """What this process keeps beside its rows: owned matrices and its part of the state."""
        owned = [tensor for name, tensor in self._own.items() if name in self._owners]
        return [*owned, *self._inner.state_tensors().values()]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of the whole state, by name, as in a checkpoint."""
        return dict(self._shapes)

    def gathered_state(self) -> Gathered:
        """The whole state, as a single process would save it."""
        state = self._inner.state_tensors()

        def gather(name: str) -> Tensor:
            layout, parameter = self._layout, self._parameter_of[name]
            if parameter in self._owners:
                owner = self._owners[parameter]
                device = layout.world.device
                whole = (
                    state[name].contiguous()
                    if owner == layout.world.rank
                    else torch.empty(self._shapes[name], dtype=self._dtypes[name], device=device)
                )
                return layout.world.broadcast(whole, owner)
            if self._is_rows(name):
                return layout.gather(state[name], self._shapes[name])
            return state[name]

        return Gathered(self._shapes, self._dtypes, gather)

    @torch.no_grad()
    def restore(self, saved: Mapping[str, Tensor]) -> None:
        """Take over a whole state; only the leader's counts, and it must fit. The owned matrices
        are those of the weights, which must have been restored before."""
        layout, state = self._layout, self._inner.state_tensors()
        for name in sorted(self._shapes):
            shape = self._shapes[name]
            whole = layout.from_leader(saved.get(name), shape, self._dtypes[name])
            if name in state:
                rows = self._is_rows(name)
                state[name].copy_(whole[rows_of(shape[0], layout.world)] if rows else whole)
        for name in self._owners:
            matrix = layout.gather(layout.local[name], layout.shapes[name])
            if self._is_mine(name):
                self._own[name].copy_(matrix)

    def _is_rows(self, name: str) -> bool:
        """Whether each process has the rows of this state that it has of the parameter."""
        parameter = self._parameter_of[name]
        return (
            parameter not in self._owners
            and self._layout.is_sharded(parameter)
            and self._shapes[name] == self._layout.shapes[parameter]
        )


class _Parameters(nn.Module):
    """Tensors that look to `build_optimizer` like the model they are of."""

    def __init__(self, tensors: Mapping[str, Tensor], kinds: Mapping[str, ParameterKind]) -> None:
        super().__init__()
        self._tensors = {name: nn.Parameter(tensor) for name, tensor in tensors.items()}
        self._kinds = {name: kinds[name] for name in tensors}

    def named_parameters(
        self, *args: object, **kwargs: object
    ) -> Iterator[tuple[str, nn.Parameter]]:
        return iter(self._tensors.items())

    def parameter_kinds(self) -> dict[str, ParameterKind]:
        return self._kinds


def _build(
    tensors: dict[str, Tensor],
    kinds: Mapping[str, ParameterKind],
    config: OptimizerConfig,
    dtype: torch.dtype,
) -> Optimizer:
    """An ordinary optimiser; `tensors` become the parameters that it reads gradients from."""
    stand_in = _Parameters(tensors, kinds)
    tensors.update(stand_in.named_parameters())
    return build_optimizer(stand_in, config, matrix_dtype=dtype)


def _parameter_of(state: str, parameters: Mapping[str, object]) -> str:
    """The parameter that "adamw.NAME.mean" belongs to."""
    name = state.partition(".")[2].rpartition(".")[0]
    assert name in parameters, f"{state} belongs to no parameter"
    return name
