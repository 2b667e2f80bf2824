// An IPFS node without anything but TCP, Noise, Yamux, identify and Bitswap; see tests/interop/line_peer.py.
import readline from 'node:readline'
import { withBitswap } from '@helia/bitswap'
import { withLibp2pLight } from '@helia/libp2p'
import { unixfs } from '@helia/unixfs'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createHeliaLight } from 'helia'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { CID } from 'multiformats/cid'

const TIMEOUT_MS = 30000
const chunker = fixedSize({ chunkSize: 262144 })
const tell = (line) => process.stdout.write(JSON.stringify(line) + '\n')

const helia = withBitswap(withLibp2pLight(createHeliaLight(), {
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify() }
}))
await helia.start()
const files = unixfs(helia)

const commands = {
  async add ({ hex }) {
    return { cid: String(await files.addBytes(Buffer.from(hex, 'hex'), { chunker })) }
  },
  async add_directory ({ entries }) {
    let root = await files.addDirectory()
    for (const [name, hex] of Object.entries(entries)) {
      root = await files.cp(await files.addBytes(Buffer.from(hex, 'hex'), { chunker }), root, name)
    }
    return { cid: String(root) }
  },
  async cat ({ cid, path }) {
    const parts = []
    const options = { path, signal: AbortSignal.timeout(TIMEOUT_MS) }
    for await (const part of files.cat(CID.parse(cid), options)) parts.push(Buffer.from(part))
    return { hex: Buffer.concat(parts).toString('hex') }
  },
  async ls ({ cid }) {
    const names = []
    for await (const entry of files.ls(CID.parse(cid), { signal: AbortSignal.timeout(TIMEOUT_MS) })) names.push(entry.name)
    return { names }
  }
}

const { peerId } = helia.libp2p
tell({ event: 'ready', peer: String(peerId), addrs: helia.libp2p.getMultiaddrs().map(String) })
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { id, name, ...rest } = JSON.parse(line)
  commands[name](rest).then((answer) => tell({ id, ...answer }), (error) => tell({ id, error: String(error?.stack ?? error) }))
}
process.exit(0)
