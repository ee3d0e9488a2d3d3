// A button for each file that was made; its bytes come when the button is pressed (see saving.js).

const node = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
};
const LATE =
  "返事がありません。別の処理の途中か、カーネルが止まっています。しばらく待っても始まらないときは、" +
  "処理が終わってから、もう一度押してください。";
let questions = 0;

export default {
  render({ model, el }) {
    const list = node("ul", { class: "bkf-list" });
    const live = node("p", { class: "bkf-say", role: "status", "aria-live": "polite" });
    const root = node("div", { class: "bkf", lang: "ja", hidden: "" }, list, live);
    el.append(root);
    let patience = 0;
    const say = (text, bad = false) => {
      clearTimeout(patience);
      live.textContent = text;
      live.classList.toggle("bkf-bad", bad);
    };
    const shown = (file, place) => {
      const press = node("button", { type: "button", title: `${file.name} をこのパソコンに保存します` }, "ダウンロード");
      press.setAttribute("aria-label", `ダウンロード：${file.label}（${file.name}）`);
      press.addEventListener("click", () => {
        say(`${file.name} を受け取っています…`);
        patience = setTimeout(() => say(LATE, true), 15000);
        model.send({ do: "download", file: place, name: file.name, of: ++questions });
      });
      const size = file.size ? `（${file.size}）` : "";
      const words = node("span", { class: "bkf-what" }, node("b", {}, file.label), `　${file.name}${size}`);
      return node("li", {}, press, words, node("span", { class: "bkf-path" }, `保存されている場所：${file.path}`));
    };
    const hear = (message, buffers) => {
      if (message.kind === "files") {
        list.replaceChildren(...message.files.map(shown));
        root.hidden = !message.files.length;
        say("");
      } else if (message.kind === "file") saveFile(root, message, buffers, say);
      else if (message.kind === "said") say(message.text, message.bad);
    };
    model.on("msg:custom", hear);
    model.send({ do: "hello" });
    return () => {
      clearTimeout(patience);
      model.off("msg:custom", hear);
    };
  },
};
