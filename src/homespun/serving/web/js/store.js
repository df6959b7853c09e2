// Conversations in this browser's IndexedDB; in memory alone where a browser gives none.

const NAME = "homespun";
const TABLE = "conversations";

function asPromise(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function openDatabase() {
  const request = indexedDB.open(NAME, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(TABLE, { keyPath: "id" });
  return asPromise(request);
}

export class Store {
  constructor(database) {
    this.database = database;
    this.channel = "BroadcastChannel" in window ? new BroadcastChannel(NAME) : null;
  }

  /** Open the store; `isKept` says whether what is saved outlives the page. */
  static async open() {
    try {
      return new Store(await openDatabase());
    } catch {
      return new Store(null);
    }
  }

  get isKept() {
    return this.database !== null;
  }

  /** Have `handler(id)` called when another window has changed a conversation. */
  onChange(handler) {
    this.channel?.addEventListener("message", (event) => handler(event.data));
  }

  async run(mode, work) {
    const transaction = this.database.transaction(TABLE, mode);
    const ended = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    const result = asPromise(work(transaction.objectStore(TABLE)));
    transaction.commit(); // at once: kept even where the page is left in the same moment
    return (await Promise.all([result, ended]))[0];
  }

  async all() {
    return this.database ? this.run("readonly", (table) => table.getAll()) : [];
  }

  async get(id) {
    return this.database ? this.run("readonly", (table) => table.get(id)) : undefined;
  }

  /** @returns {Promise<boolean>} false where there is no room or no store */
  async save(conversation) {
    if (!this.database) return false;
    try {
      await this.run("readwrite", (table) => table.put(conversation));
    } catch {
      return false;
    }
    this.channel?.postMessage(conversation.id);
    return true;
  }

  async remove(id) {
    if (this.database) await this.run("readwrite", (table) => table.delete(id));
    this.channel?.postMessage(id);
  }
}

/** Small settings of the page: theme, language, sampling. A browser may refuse to keep them. */
export class Preferences {
  constructor() {
    try {
      this.values = JSON.parse(localStorage.getItem(NAME)) ?? {};
    } catch {
      this.values = {};
    }
  }

  get(name, other) {
    return this.values[name] ?? other;
  }

  set(name, value) {
    this.values[name] = value;
    try {
      localStorage.setItem(NAME, JSON.stringify(this.values));
    } catch {
      // Kept until the page closes.
    }
  }
}

let heldKey = ""; // where a browser gives no storage: until the page closes or is loaded anew

/** The API key stays in this tab, and goes when it closes. */
export const keyring = {
  get() {
    try {
      return sessionStorage.getItem("homespun-key") ?? heldKey;
    } catch {
      return heldKey;
    }
  },
  set(key) {
    heldKey = key;
    try {
      sessionStorage.setItem("homespun-key", key);
    } catch {
      // The one above does.
    }
  },
};
