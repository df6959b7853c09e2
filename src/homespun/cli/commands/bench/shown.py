"""Tables of what the training benchmarks found."""

from __future__ import annotations

from typing import Any


def show_losses(found: dict[str, Any]) -> None:
    """One row a contender: losses of the complete passes, what it took, and what was learnt."""
    from homespun.cli.terminal import out, say, table

    shown = table("model", "loss", "sliding", "bits/byte", "time", "tokens/s", "size", "epochs")
    for row in found["contenders"]:
        shown.add_row(
            row.get("label", row["name"]),
            f"{row['val_loss']:.4f}",
            "" if row["val_loss_sliding"] is None else f"{row['val_loss_sliding']:.4f}",
            f"{row['val_bpb']:.4f}",
            f"{row['seconds']:.0f} s",
            f"{row['tokens_per_second']:,.0f}",
            f"{row['parameters'] / 1e6:.2f}M",
            f"{row['epochs']:.2f}",
        )
    out().print(shown)
    rows = found["contenders"]
    contexts = ", ".join(dict.fromkeys(f"{row['name']} {row['context']}" for row in rows))
    say(
        f"loss: nats per token, all {rows[0]['predictions']:,} held-out tokens, each predicted "
        f"once in windows of the model's context ({contexts}) side by side; sliding: windows "
        f"half the context apart"
    )
    judged = {row.get("weights", {}).get("judged", "last") for row in rows}
    if judged == {"last"}:
        say("judged: the last weights")
    for row in rows:
        if row.get("weights", {}).get("sentence"):
            say(f"{row.get('label', row['name'])}: {row['weights']['sentence']}")
    if "best" in judged:
        say(
            "the best weights were chosen by the text they are judged by"
            + ("; others' are their last" if len(rows) > 1 else "")
        )
    for row in rows:
        if row.get("foretold_bpb") is not None:
            told = row["foretold_bpb"]
            error = row["val_bpb"] / told - 1
            say(f"{row['label']}: the plan foretold {told:.4f} bits per byte ({error:+.1%})")
    for row in rows:
        target = row.get("target")
        if target is None:
            continue
        when = "not reached" if target["seconds"] is None else f"after {target['seconds']:.1f} s"
        say(f"{row['name']}: loss {target['loss']:g} {when}")


def show_speeds(found: dict[str, Any]) -> None:
    """A table a size: how fast each contender's steps are, and how near the machine's limit."""
    from homespun.cli.terminal import out, say, table

    for size in found["sizes"]:
        gemm = size["gemm_gflops"]
        shown = table(size["size"], "tokens/s", "GFLOP/s", "of peak", "memory", "size", "steps")
        for row in size["contenders"]:
            shown.add_row(
                row["name"],
                f"{row['tokens_per_second']:,.0f}",
                f"{row['gflops']:.0f}",
                f"{row['share_of_gemm_peak']:.0%}",
                f"{row['peak_memory_bytes'] / 1e9:.2f} GB",
                f"{row['parameters'] / 1e6:.2f}M",
                str(row["steps"]),
            )
        out().print(shown)
        say(
            f"peak: {size['dtype']} matrix products, best {gemm['best']:.0f} GFLOP/s of "
            f"{gemm['measurements']} measurements in between, median {gemm['median']:.0f}"
        )
        if size["ratio_to_best_peer"] is not None:
            say(f"homespun: {size['ratio_to_best_peer']:.2f} times the best peer")
