"""Reads a directory of sessions from docs/format.md alone, with the standard library alone, and changes nothing.

python3 read_session.py DIRECTORY   prints each session as {id: {"metadata": …, "messages": […], "draft": …}}, or "corrupt"
python3 read_session.py -           the same, a line for each line {name: base64 of the file} on standard input
"""
import base64, datetime, hashlib, json, os, re, sys


class Corrupt(Exception):
    pass


def checksum(data):
    return hashlib.sha256(data).hexdigest()[:16]


def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def parse(data):
    try:
        return json.loads(data.decode("utf-8-sig"))
    except ValueError as error:
        raise Corrupt(error)


def own_store(metadata_text, store_text):
    """The store of a snapshot of ours, if its head is what was written."""
    store = parse(store_text)
    before_head = store_text[: store_text.rindex(b',"head"')] if b',"head"' in store_text else b""
    if store.get("version") != 1 or checksum(metadata_text + before_head) != store.get("head"):
        raise Corrupt("head")
    return store


def read_snapshot(files, id):
    """Metadata, messages, store (None: another writer's) and what stands between two messages."""
    data, meta = files.get(id + ".json"), files.get(id + ".meta.json")
    if meta is not None:
        lines = files.get(id + ".ndjson", b"")
        head, found, store_text = meta.partition(b',\n"store":')
        if not found:
            metadata = parse(meta)
            messages = [parse(line) for line in lines.split(b"\n") if line.strip()]
            return metadata, messages, None, b"\n"
        metadata, store = parse(head + b"}"), own_store(head + b"}", store_text[:-2])
        for candidate in (lines, files.get(id + ".ndjson.next", b"")):
            region = candidate[: store["size"]]
            if len(region) == store["size"] and checksum(region) == store["messages"]:
                return metadata, [parse(line) for line in region.split(b"\n") if line], store, b"\n"
        raise Corrupt("messages")
    layout = re.match(rb'\{\n"metadata": (\{.*\}),\n"store": (\{.*\}),\n"messages": \[\n', data)
    if layout:
        store = own_store(layout[1], layout[2])
        region = data[layout.end() : layout.end() + store["size"]]
        if data[layout.end() + len(region) :] != b"\n]\n}\n" or checksum(region) != store["messages"]:
            raise Corrupt("messages")
        return parse(layout[1]), parse(b"[" + region + b"]"), store, b",\n"
    value = parse(data)
    if not isinstance(value, dict) or not isinstance(value.get("metadata"), dict):
        raise Corrupt("no metadata")
    messages = value.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise Corrupt("no messages")
    if isinstance(value.get("store"), dict):
        store_text = compact(value["store"])
        own_store(compact(value["metadata"]), store_text)
        if checksum(b",\n".join(map(compact, messages))) != value["store"]["messages"]:
            raise Corrupt("messages")
    return value["metadata"], messages, None, b",\n"


def read_journal(data):
    """The header (None: there is none), the records, and whether it is damaged."""
    header, records, end, previous = None, [], 0, ""
    for line in re.finditer(rb"#([0-9a-f]{16}) (\d+) (.*)\n", data):
        begin = line.start() - int(line[2])
        if begin < 0 or checksum(data[begin : line.start()] + line[3]) != line[1].decode():
            continue
        record = json.loads(line[3])
        if begin != end or (header is None) != (record.get("journal") == 1):
            return header, records, record.get("durable") is not False
        if header is None:
            header = record
        elif (record["n"], record["base"], record["prev"]) == (len(records) + 1, header["base"], previous):
            records.append({**record, "messages": parse(b"[" + data[begin : line.start()] + b"]")})
        else:
            return header, records, record.get("durable") is not False
        end, previous = line.end(), line[1].decode()
    return header, records, False


def read_session(files, id, date):
    metadata, messages, store, separator = read_snapshot(files, id)
    header, records, damaged = read_journal(files.get(id + ".journal", b""))
    if damaged and not (store and header and header["base"] == store["previous"]):
        raise Corrupt("journal")
    if header and store:
        done = {store["previous"]: store["folded"], store["generation"]: 0}.get(header["base"], len(records))
        records = records[done:]
        if records and records[0]["at"] != len(messages):
            records = []
        messages = messages + [message for record in records for message in record["messages"]]
    elif header and records:
        at = records[0]["at"]
        ours = [message for record in records for message in record["messages"]]
        common = min(len(ours), len(messages) - at)
        same = checksum(separator.join(map(compact, messages[:at]))) == header["messages"]
        if same and messages[at : at + common] == ours[:common]:
            messages = messages + ours[common:]
        else:
            records = []
    else:
        records = []
    if records:
        metadata = {key: value for key, value in {**metadata, **records[-1]["metadata"]}.items() if value is not None}
    metadata = {"updated_at": date, **metadata, "id": id, "message_count": len(messages)}
    return {"metadata": {"created_at": metadata["updated_at"], **metadata}, "messages": messages}


def read_draft(files, id, messages):
    """The turn under way; None: there is none, or it is void, or half of one."""
    try:
        draft = parse(files.get(id + ".draft", b""))
    except Corrupt:
        return None
    if not isinstance(draft, dict) or not isinstance(draft.get("prompt"), dict) or "updated_at" not in draft:
        return None
    prompt = draft["prompt"].get("id")
    return None if prompt is not None and any(message.get("id") == prompt for message in messages) else draft


def read_sessions(files, date=lambda name: ""):
    """Every session of a directory whose files are given as {name: bytes}."""
    sessions = {}
    for name in sorted(files):
        id = re.sub(r"(\.meta)?\.json$", "", name)
        if id != name and id not in sessions:
            try:
                session = read_session(files, id, date(name))
                draft = read_draft(files, id, session["messages"])
                sessions[id] = session if draft is None else {**session, "draft": draft}
            except Corrupt:
                sessions[id] = "corrupt"
    return sessions


def main(argument):
    if argument == "-":
        for line in sys.stdin.buffer:
            files = {name: base64.b64decode(data) for name, data in json.loads(line).items()}
            sys.stdout.buffer.write(compact(read_sessions(files)) + b"\n")
            sys.stdout.flush()
        return
    paths = {entry.name: entry for entry in os.scandir(argument) if entry.is_file(follow_symlinks=False)}
    files = {}
    for name, entry in paths.items():
        with open(entry.path, "rb") as file:
            files[name] = file.read()
    date = lambda name: datetime.datetime.fromtimestamp(paths[name].stat().st_mtime, datetime.timezone.utc).isoformat()
    print(json.dumps(read_sessions(files, date), ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main(sys.argv[1])
