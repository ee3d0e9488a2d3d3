// Shared by what saves files: the bytes come over the comm when somebody presses, in pieces, and go to the
// browser's own download; nothing of them stays in a widget's state. Put in front of the programs that use it.

const pieces = new WeakMap(); // where it is shown → the question, and what of its answer has come

const saveFile = (root, message, buffers, said) => {
  const before = pieces.get(root);
  const parts = [...(before && before.of === message.of ? before.parts : []), ...buffers];
  if (message.more) {
    pieces.set(root, { of: message.of, parts });
    return;
  }
  pieces.delete(root);
  const address = URL.createObjectURL(new Blob(parts, { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = message.name;
  link.hidden = true;
  root.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
  said(`${message.name} をダウンロードしました。`);
};

