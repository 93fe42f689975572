"""What rounding a residual does to the length of its sum with the leaf: the codec's two constants.

    python benchmarks/factors.py

Tokens of real texts, coded; of each norm that a hundredth of them has: the residual's mean length
r, how much the square of the sum grows (a share of r squared: `_LOSS` in codec/residual.py), how
far the factor that would restore unit length deviates (a share of r over the root of the
dimensions: `_SPREAD`), and which share of factors lies beyond the sixteen of its norm. Then the
mean of each over all tokens, beside the constant. `mini` has 128 dimensions; the first 64 and 32 of
its rotated ones, of unit length again, stand for other models. One JSON line.
"""

from __future__ import annotations

import argparse

import numpy as np
from embedded import debian_texts, embedded
from measure import record

from interlace import codec, kernels
from interlace.codec import residual

N_TEXTS, TABLE = 3_000, kernels.table()
A = np.ndarray


def coded(tokens: codec.Tokens, bits: int) -> tuple[A, A, A]:
    """Of each token its norm, its residual's length, and the length of leaf and coded residual.

    In units of a leaf's length.
    """
    n, dim = tokens.codes.shape
    generation = codec.train(f"residual{bits}", tokens, n_tokens=n, kernels=TABLE)
    assert isinstance(generation, residual.Generation)
    found, arrays = generation.encode(tokens, kernels=TABLE), generation.arrays
    length = kernels.centroid_length(dim)
    leaves = arrays.leaves[generation.leaves(found)]
    norm = (found.heads & 15).astype(np.int64)
    taken = kernels.unpack(found.codes, bits, dim)
    rest = kernels.residuals(arrays.levels, arrays.norms)[norm[:, None], taken]
    exact = tokens.codes * tokens.scales[:, None] * length
    return (
        norm,
        np.linalg.norm(exact - leaves, axis=1) / length,
        np.linalg.norm(kernels.joined(leaves, rest).astype(np.float32), axis=1) / length,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry", action="store_true", help="print, and record nothing")
    args = parser.parse_args()
    found = []
    documents = embedded("debian", debian_texts()[0]).head(N_TEXTS)
    signs = codec.rotation_signs(documents.matrix.shape[1], 0)
    turned = TABLE.quantise(np.asarray(documents.matrix, np.float32), signs)
    for dim in (128, 64, 32):
        some = turned.codes[:, :dim].astype(np.float32)
        some /= np.linalg.norm(some, axis=1, keepdims=True)
        levels = np.rint(some * (127 / np.abs(some).max(axis=1, keepdims=True))).astype(np.int8)
        scales = (1 / np.linalg.norm(levels.astype(np.float32), axis=1)).astype(np.float32)
        tokens = codec.Tokens(levels, scales, documents.token_ids)
        for bits in (1, 2, 4):
            norm, r, length = coded(tokens, bits)
            unit = residual._unit(levels)
            sixteen = residual.factors(bits, dim, unit).reshape(16, 16) * kernels.centroid_length(
                dim
            )
            loss, spread, beyond, weight = [], [], [], []
            for at in range(1, 16):
                mine = norm == at
                if mine.mean() < 0.01:
                    continue
                factor = 1 / length[mine]
                loss.append(((length[mine] ** 2).mean() - 1) / (r[mine] ** 2).mean())
                spread.append(factor.std() * dim**0.5 / r[mine].mean())
                step = (sixteen[1, at] - sixteen[0, at]) / 2
                outside = (factor < sixteen[0, at] - step) | (factor > sixteen[15, at] + step)
                beyond.append(outside.mean())
                weight.append(mine.sum())
                print(
                    f"{dim} dimensions, {bits} bits, r {r[mine].mean():.2f}: loss {loss[-1]:.4f}, "
                    f"spread {spread[-1]:.3f}, beyond {beyond[-1]:.4f}"
                )
            means = [float(np.average(one, weights=weight)) for one in (loss, spread, beyond)]
            found.append(
                {"dim": dim, "bits": bits}
                | dict(zip(("loss", "spread", "beyond"), np.round(means, 4).tolist(), strict=True))
            )
            print(
                f"{dim} dimensions, {bits} bits: loss {means[0]:.4f} ({residual._LOSS[bits]}), "
                f"spread {means[1]:.3f} ({residual._SPREAD[bits]}), beyond {means[2]:.4f}",
                flush=True,
            )
    if not args.dry:
        record("factors", texts=N_TEXTS, codecs=found)


if __name__ == "__main__":
    main()
