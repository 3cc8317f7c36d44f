"""Reads a directory of sessions from docs/format.md alone, with the standard library alone, and changes nothing.

python3 read_session.py DIRECTORY  prints {id: {"metadata": …, "messages": […], "draft": …}, or "corrupt"} for all
python3 read_session.py -          the same, a line for each line {name: base64 of the file} on standard input."""
import base64, hashlib, json, pathlib, re, sys

SESSION_FILE = re.compile(r"(?!\.)([^/\\\x00-\x1f\x7f-\x9f]{0,199}?[^/\\\x00-\x1f\x7f-\x9f. ])(\.meta)?\.json")
OURS = re.compile(rb'\{\n"metadata": .*?,\n"store": .*?,\n"messages": \[\n', re.DOTALL)
LAYOUT = b'{\n"metadata": %b,\n"store": %b,\n"messages": [\n%b\n]\n}\n'

def ensure(condition):
    if not condition:
        raise ValueError("damaged")

def parse(data, kind=dict):
    # Fractions stay texts behind a NUL until they are written again; int() refuses NaN and Infinity, which are no JSON.
    value = json.loads(data.decode("utf-8-sig"), parse_float="\0{}".format, parse_constant=int)
    ensure(isinstance(value, kind))
    return value

def to_json(value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return re.sub(r'"\\u0000([-+.\deE]+)"', r"\1", text).encode("utf-8", "backslashreplace")

def checksum(data):
    return hashlib.sha256(data).hexdigest()[:16]

def ensure_head(metadata, store):
    ensure(isinstance(store, dict) and store.get("version") == 1)
    ensure(store.get("head") == checksum(to_json(metadata) + to_json(store).rpartition(b',"head":')[0]))

def verified_messages(metadata, store, candidates):
    ensure_head(metadata, store)
    named = [data[: store["size"]] for data in candidates if checksum(data[: store["size"]]) == store["messages"]]
    ensure(named)
    return named[0]

def read_json(data):
    """Metadata, messages, `store` (empty: another writer's), and what stands between two messages."""
    whole = parse(data)
    metadata, messages, store = whole.get("metadata"), whole.get("messages"), whole.get("store")
    ensure(isinstance(metadata, dict) and isinstance(messages, list) and all(isinstance(m, dict) for m in messages))
    if isinstance(store, dict):
        body = b",\n".join(map(to_json, messages))
        ensure(verified_messages(metadata, store, [body]) == body)
        ensure(data == LAYOUT % (to_json(metadata), to_json(store), body) or not OURS.match(data))
    return metadata, messages, store if isinstance(store, dict) else {}, b",\n"

def read_ndjson(meta, lines, lines_of_next):
    metadata = parse(meta)
    text = meta.decode("utf-8-sig").strip()
    rewritten = not text.startswith('{"') or text.encode() == to_json(metadata)
    objects = [value for value in metadata.values() if isinstance(value, dict)]
    headers = [value for value in objects if "generation" in value and "head" in value]
    store = metadata.pop("store", None)
    if not rewritten and (headers or b',\n"store":' in meta):
        ensure_head(metadata, store)
        if lines_of_next is None and len(lines or b"") > store["size"] + 1:
            store = {}
        else:
            lines = verified_messages(metadata, store, [lines or b"", lines_of_next or b""])
    else:
        ensure(lines is not None or not metadata.get("message_count"))
        store = {}
    return metadata, [parse(line) for line in (lines or b"").split(b"\n") if line.strip()], store, b"\n"

def read_journal(data):
    """The closing line and the messages of each record that counts, the header first, and lines that stand behind."""
    records, stranded, end, place = [], [], 0, {"journal": 1}
    for match in re.finditer(rb"#([0-9a-f]{16}) (\d{1,15}) (\{.*\})\n", data):
        start = match.start() - int(match[2])
        if start < 0 or checksum(data[start : match.start()] + match[3]) != match[1].decode():
            continue  # not whole
        line, messages = parse(match[3]), parse(b"[" + data[start : match.start()] + b"]", list)
        if start == end and all(line.get(key) == value for key, value in place.items()):
            records.append((line, messages))
            end, place = match.end(), {"n": len(records), "base": records[0][0]["base"], "prev": match[1].decode()}
        elif line.get("durable") is not False:
            stranded.append(line)
    return records, stranded

def play_on(metadata, messages, store, separator, journal, stranded):
    header, records = (journal[0][0], journal[1:]) if journal else ({"base": ""}, [])
    previous = store.get("previous")
    ensure(all(line.get("base") == previous and line.get("n", 0) <= store["folded"] for line in stranded))
    folded = store["folded"] if header["base"] == previous else 0
    later = records[folded:]
    at = later[0][0]["at"] if later else 0
    history = messages[:at] + [message for _, added in later for message in added]
    ours = store and at == len(messages) and header["base"] in (store["generation"], store["previous"])
    same = all(one == other for one, other in zip(history, messages))
    theirs = not store and same and checksum(separator.join(map(to_json, messages[:at]))) == header.get("messages")
    if not later or not (ours or theirs):
        return metadata, messages
    return {**metadata, **later[-1][0]["metadata"]}, max(history, messages, key=len)

def read_session(id, files):
    meta, *lines = (files.get(id + suffix) for suffix in (".meta.json", ".ndjson", ".ndjson.next"))
    snapshot = read_json(files[f"{id}.json"]) if meta is None else read_ndjson(meta, *lines)
    metadata, messages = play_on(*snapshot, *read_journal(files.get(f"{id}.journal", b"")))
    metadata = {key: value for key, value in metadata.items() if value is not None}
    dates = {"created_at": metadata.get("updated_at", ""), "updated_at": ""}
    session = {"metadata": {**dates, **metadata, "id": id, "message_count": len(messages)}, "messages": messages}
    try:
        draft = parse(files.get(f"{id}.draft", b""))
        ensure(isinstance(draft.get("prompt"), dict) and isinstance(draft.get("updated_at"), str))
        ensure(draft["prompt"].get("id", "") not in [message.get("id") for message in messages])
    except ValueError:  # none, half of one, or void
        return session
    return {**session, "draft": draft}

if sys.argv[1] == "-":
    folders = ({name: base64.b64decode(data) for name, data in json.loads(line).items()} for line in sys.stdin.buffer)
else:  # in which nobody may be writing
    files = [path for path in pathlib.Path(sys.argv[1]).iterdir() if path.is_file() and not path.is_symlink()]
    folders = [{path.name: path.read_bytes() for path in files}]
for files in folders:
    sessions = {}
    for id in sorted({match[1] for match in map(SESSION_FILE.fullmatch, files) if match}):
        try:
            sessions[id] = read_session(id, files)
        except ValueError:
            sessions[id] = "corrupt"
    sys.stdout.buffer.write(to_json(sessions) + b"\n")
    sys.stdout.buffer.flush()
