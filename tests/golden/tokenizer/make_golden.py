"""Makes the golden files of the tokenizer tests with Hugging Face's `tokenizers`.

Usage: python make_golden.py [GPT2_DIR]     GPT2_DIR holds encoder.json and vocab.bpe; without it
                                            the GPT-2 part of expected.json stays as it is
Written here: torture.txt, small/tokenizer.json, small_files/{vocab.json,merges.txt}, expected.json.
"""

import json
import pathlib
import random
import struct
import sys
import zlib

import tokenizers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

HERE = pathlib.Path(__file__).resolve().parent
END = "<|endoftext|>"

PROSE = """\
The quick brown fox jumps over the lazy dog; 1,234.56 + 7e-3 = x_2 (mod 11)!
It's we're they've I'm he'll she'd don't IT'S WE'RE 'tis rock'n'roll 's't're've'm'll'd ''s 'S it’s
Zażółć gęślą jaźń. Příliš žluťoučký kůň úpěl ďábelské ódy. Árvíztűrő tükörfúrógép.
Größe Straße Übermut – „Anführung“ … naïve façade cœur Ærøskøbing smørrebrød þú ættir
Η γρήγορη καφέ αλεπού πηδάει. Ἐν ἀρχῇ ἦν ὁ λόγος.
Съешь же ещё этих мягких французских булок, да выпей чаю. Їжак ґава ў
Արագ շագանակագույն աղվեսը ცხოველები ქართული ენა
שלום עולם, מה שלומך היום? דָּבָר אַחֵר
السلام عليكم ورحمة الله. كِتَابٌ جَدِيدٌ ۱۲۳ فارسی: می‌خواهم بروم
नमस्ते दुनिया, क्षत्रिय ज्ञान श्री १२३ বাংলা ভাষা ৪৫৬ ਪੰਜਾਬੀ ગુજરાતી
தமிழ் மொழி ௧௨௩ తెలుగు ಕನ್ನಡ മലയാളം සිංහල
ภาษาไทยไม่มีช่องว่าง ๑๒๓ ພາສາລາວ မြန်မာဘာသာ ភាសាខ្មែរ བོད་སྐད་
你好，世界！今天天气很好。繁體中文測試：１２３ＡＢＣ
こんにちは世界。カタカナとひらがなと漢字が混ざった文。ｶﾀｶﾅ ㈱ ①②③ 々〆
안녕하세요 세계! 한국어 문장입니다. 한글 ᄒ
አማርኛ ትግርኛ ꦧꦱꦗꦮ ᠮᠣᠩᠭᠣᠯ ᏣᎳᎩ ᐃᓄᒃᑎᑐᑦ ⲙⲉⲧⲣⲉⲙⲛⲭⲏⲙⲓ
𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚 𐌰𐌱𐌲 𓀀𓂀 𠀀𠮷 🄰🅱 ½ ⅔ Ⅷ ⅻ ² ₃ ໑ 𑁧 𞥐
👍🏽 👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪🇫🇷🇨 ☺️☹︎ 🙂🙂🙂 ❤️‍🔥 5️⃣ #️⃣
e\u0301 a\u0308\u0323 Z\u0351\u036b\u0343\u036a\u0302 \u0301alone ｡ﾟ n\u0303 ñ \u212b Å
"quotes" `back` «guillemets» 'single' a--b---c——d ...... !!!??? $€£¥₿ %‰ §¶† ±×÷≠≤∞∫∑ ←→⇒ ■□◆
def f(x):\n    return {'a': [x**2, None]}  # comment\n\tif x:\n\t\tpass\n
<html><body class="x">&nbsp;&amp;</body></html> https://example.org/a?b=c&d=%20#e user@example.com
"""


def torture():
    rng = random.Random(7)
    spaces = [chr(c) for c in range(0x110000) if chr(c).isspace() or chr(c) in "\u200b\u2060\ufeff"]
    parts = [PROSE.replace("\\n", "\n").replace("\\t", "\t")]
    parts.append("".join(f"a{s}b {s}c{s} d{s}{s}e{s}1{s}!{s}\n" for s in spaces))
    parts.append("x  y   z    1     !      \n\n\n  \t \t\tq\r\nr\r\n\r\n  s\n   t \u00a0 u\u3000\u3000v")
    parts.append("".join(map(chr, range(0xA1))))
    parts.append(" " * 300 + "end" + "\n" * 77 + "\t" * 33 + "end" + " \n" * 40)
    parts += ["a" * 700, "-" * 500, "ab" * 400, "Donaudampfschifffahrtsgesellschaftskapitän" * 20]
    parts += ["7" * 350, "字" * 200, "".join(rng.choices("abcdefghij", k=3000))]
    parts.append(f"one{END}two {END} three{END}{END} <|endoftext|><|endoftext <|end|> <|sep|>")
    parts.append("New York is new; New  York, New York<|end<|endoftext|>New Yorkers <|sep <|sep|>")
    for limit in (0x250, 0x3100, 0x20000, 0x110000):
        points = (rng.randrange(limit) for _ in range(1500))
        parts.append("".join(chr(c) for c in points if not 0xD800 <= c <= 0xDFFF))
    return "\n".join(parts) + "   "


def cases():
    """Short texts, since much happens at their ends."""
    rng = random.Random(11)
    pool = list(" \t\n\r\u00a0\u3000\u2028\u0085\x1c\u200b'stremvldSTaAbéÉ中あ한ا٣५12½Ⅷ_-.!#€🙂\u200d\u0301")
    pool += ["'s", "'ll", "'re", " ", "  ", END, "<|end", "New York", "<|sep|>"]
    return [""] + ["".join(rng.choices(pool, k=rng.randint(1, 14))) for _ in range(400)]


def train_small(text):
    small = Tokenizer(models.BPE())
    small.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    small.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1500, min_frequency=2, special_tokens=[END], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    small.train_from_iterator([text], trainer)
    return small


def every_code_point():
    points = (c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF)
    return "".join(f"a{chr(c)}1{chr(c)}" for c in points)


def ids_of(tokenizer, text, as_text=False):
    tokenizer.encode_special_tokens = as_text
    return tokenizer.encode(text, add_special_tokens=False).ids


def crc(ids):
    return zlib.crc32(struct.pack(f"<{len(ids)}i", *ids))


def expected(tokenizer, text):
    return {
        "recognise": ids_of(tokenizer, text),
        "as_text_crc32": crc(ids_of(tokenizer, text, as_text=True)),
        "cases": [ids_of(tokenizer, case) for case in cases()],
        "every_code_point_crc32": crc(ids_of(tokenizer, every_code_point())),
    }


def main():
    text = torture()
    (HERE / "torture.txt").write_bytes(text.encode())
    small = train_small(text)
    # What the repository's own trainer must learn from the same file.
    merges = json.loads(small.to_str())["model"]["merges"]
    (HERE / "small_files").mkdir(exist_ok=True)
    small.model.save(str(HERE / "small_files"))
    small.add_special_tokens([AddedToken("<|sep|>", special=True, normalized=False)])
    small.add_tokens([AddedToken("<|end", normalized=False), AddedToken("New York", normalized=True)])
    (HERE / "small").mkdir(exist_ok=True)
    small.save(str(HERE / "small" / "tokenizer.json"), pretty=False)

    path = HERE / "expected.json"
    golden = json.loads(path.read_text()) if path.exists() else {}
    golden["made_with"] = f"tokenizers {tokenizers.__version__}"
    golden["case_texts"] = cases()
    golden["merges"] = len(merges)
    golden["small"] = expected(small, text)
    if len(sys.argv) > 1:
        from transformers import GPT2TokenizerFast

        folder = pathlib.Path(sys.argv[1])
        vocab = json.loads((folder / "encoder.json").read_text())
        lines = (folder / "vocab.bpe").read_text().split("\n")
        pairs = [tuple(line.split()) for line in lines if line and not line.startswith("#version")]
        gpt2 = GPT2TokenizerFast(vocab=vocab, merges=pairs)
        golden["gpt2"] = expected(gpt2.backend_tokenizer, text)
    path.write_text(json.dumps(golden, separators=(",", ":"), ensure_ascii=True) + "\n")
    print({name: len(golden[name]["recognise"]) for name in ("small", "gpt2") if name in golden})


main()
