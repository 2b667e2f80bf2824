// A js-libp2p node of a Skyops network, driven by JSON lines: a command a line in, an answer or an event a line out.
import crypto from 'node:crypto'
import readline from 'node:readline'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { lpStream } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { concat, decode, encode, hex, unhex, utf8 } from './codec.mjs'
import { Identity, open, recordKey } from './identity.mjs'
import { checkRecord, makeBeat, makeRecord } from './records.mjs'

const config = JSON.parse(process.argv[2])
const rules = { network: config.network, chainId: config.chainId }
const identity = new Identity(crypto.randomBytes(32), crypto.randomBytes(32))
const topic = `/skyops/${rules.network}/presence/1`
const nodeProtocol = `/skyops/${rules.network}/node/1.0.0`
const tell = (line) => process.stdout.write(JSON.stringify(line) + '\n')
const within = (ms = 10000) => AbortSignal.timeout(ms)

// from || sequence number, as the other implementations have it.
function messageId (message) {
  const seqno = unhex(message.sequenceNumber.toString(16).padStart(16, '0'))
  return concat(message.from.toMultihash().bytes, seqno)
}

const sequenceOf = (value) => { try { return checkRecord(value, rules).sequence } catch { return -1 } }

const dht = kadDHT({
  protocol: `/skyops/${rules.network}/kad/1.0.0`,
  clientMode: false,
  peerInfoMapper: passthroughMapper,
  initialQuerySelfInterval: 1000,
  allowQueryWithZeroPeers: true,
  validators: { skyops: async (key, value) => { checkRecord(value, rules, Buffer.from(key).toString()) } },
  selectors: { skyops: (key, values) => values.reduce((best, value, index) => sequenceOf(value) > sequenceOf(values[best]) ? index : best, 0) }
})

const node = await createLibp2p({
  privateKey: await generateKeyPairFromSeed('Ed25519', identity.seed),
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: {
    dht,
    identify: identify(),
    ping: ping(),
    pubsub: gossipsub({ allowPublishToZeroTopicPeers: true, emitSelf: false, globalSignaturePolicy: 'StrictSign', msgIdFn: messageId })
  }
})

// --- presence ------------------------------------------------------------------------------------------------
const own = { record: undefined, beat: undefined, sequence: 0, recordSequence: 0 }

function next () {
  const now = Date.now()
  own.sequence = Math.max(own.sequence + 1, now)
  return { now, sequence: own.sequence }
}

async function announce () {
  const step = next()
  own.recordSequence = step.sequence
  const addrs = node.getMultiaddrs().map((addr) => String(addr).split('/p2p/')[0])
  own.record = makeRecord(identity, rules, { ...step, addrs })
  await node.services.pubsub.publish(topic, own.record)
  return { record: hex(own.record) }
}

async function beat ({ intervalMs = 1000, isLeaving = false }) {
  own.beat = makeBeat(identity, rules, { ...next(), recordSequence: own.recordSequence, intervalMs, isLeaving })
  const { recipients } = await node.services.pubsub.publish(topic, own.beat)
  return { recipients: recipients.map(String) }
}

node.services.pubsub.addEventListener('gossipsub:message', ({ detail: { msg } }) => {
  const event = { event: 'gossip', from: String(msg.from), data: hex(msg.data) }
  try {
    const { kind, peer } = open(rules.network, msg.data)
    if (kind === 'node-record') checkRecord(msg.data, rules)
    tell({ ...event, kind, isOwn: hex(peer) === hex(msg.from.toMultihash().bytes) })
  } catch (error) {
    tell({ ...event, kind: 'bad', why: error.message })
  }
})
node.services.pubsub.subscribe(topic)

// --- the `node` protocol, as far as others need it of us -------------------------------------------------------
const OK = Uint8Array.of(0)
const REFUSED = Uint8Array.of(1)
const PING = 10
const RECORD_REQUEST = 14

function answer (request) {
  const message = decode(request)
  if (message[0] === PING) {
    return concat(OK, encode(new Map([[0, 11], [1, message[1]], [2, own.recordSequence], [3, Date.now()]])))
  }
  if (message[0] === RECORD_REQUEST) {
    const isOurs = hex(message[1]) === hex(identity.peer)
    return concat(OK, encode(new Map([[0, 15], [1, isOurs ? own.record : undefined], [2, isOurs ? own.beat : undefined]])))
  }
  return concat(REFUSED, utf8('wrong_type'))
}

await node.handle(nodeProtocol, async (stream) => {
  const frames = lpStream(stream)
  try {
    while (true) await frames.write(answer((await frames.read()).subarray()))
  } catch (error) {
    stream.abort(error)
  }
})

// --- commands ------------------------------------------------------------------------------------------------------
const commands = {
  info: async () => ({ peer: String(node.peerId), wallet: '0x' + hex(identity.wallet), addrs: node.getMultiaddrs().map(String), version: process.version }),
  dial: async ({ addr }) => {
    const connection = await node.dial(multiaddr(addr), { signal: within() })
    return { peer: String(connection.remotePeer), encryption: connection.encryption, muxer: connection.multiplexer }
  },
  // What the automatic identify of a new connection has brought so far.
  known: async ({ peer }) => {
    const { protocols, addresses } = await node.peerStore.get(peerIdFromString(peer))
    return { protocols, addrs: addresses.map((item) => String(item.multiaddr)) }
  },
  libp2pPing: async ({ peer }) => ({ ms: await node.services.ping.ping(peerIdFromString(peer), { signal: within() }) }),
  mesh: async () => ({ subscribers: node.services.pubsub.getSubscribers(topic).map(String), mesh: node.services.pubsub.getMeshPeers(topic).map(String) }),
  announce,
  beat,
  publish: async ({ data, to = topic }) => {
    const { recipients } = await node.services.pubsub.publish(to, unhex(data))
    return { recipients: recipients.map(String) }
  },
  // Frames out, one frame back for each, all on one stream.
  request: async ({ peer, frames, protocol = nodeProtocol }) => {
    const stream = await node.dialProtocol(peerIdFromString(peer), protocol, { signal: within() })
    const channel = lpStream(stream)
    const answers = []
    for (const frame of frames) {
      await channel.write(unhex(frame), { signal: within() })
      answers.push(hex((await channel.read({ signal: within() })).subarray()))
    }
    await stream.close({ signal: within() })
    return { answers }
  },
  // Bytes as they are on a fresh stream, then the end of the stream; how the other side ends it does not matter.
  throwAt: async ({ peer, protocol, data }) => {
    const stream = await node.dialProtocol(peerIdFromString(peer), protocol, { signal: within() })
    stream.send(unhex(data))
    await stream.close({ signal: within(1000) }).catch((error) => stream.abort(error))
    return {}
  },
  recordKey: async ({ peer }) => ({ key: recordKey(rules.network, peerIdFromString(peer).toMultihash().bytes) }),
  table: async () => ({ size: node.services.dht.routingTable.size }),
  dhtGet: async ({ key }) => {
    const values = []
    for await (const event of node.services.dht.get(utf8(key), { signal: within() })) {
      if (event.name === 'VALUE') values.push([String(event.from), hex(event.value)])
    }
    return { values }
  },
  dhtPut: async ({ key, value }) => {
    const taken = []
    for await (const event of node.services.dht.put(utf8(key), unhex(value), { signal: within() })) {
      const isEcho = event.name === 'PEER_RESPONSE' && event.messageName === 'PUT_VALUE' && event.record != null
      if (isEcho && hex(event.record.value) === value) taken.push(String(event.from))
    }
    return { taken }
  },
  // Our provider keys are short texts, not multihashes: the library only ever asks a CID for these bytes.
  dhtProviders: async ({ key }) => {
    const found = {}
    const digest = crypto.createHash('sha256').update('skyops/capability/' + key).digest()
    const place = { multihash: { bytes: concat([Uint8Array.of(0x12, 0x20), digest]) }, toString: () => key }
    for await (const event of node.services.dht.findProviders(place, { signal: within() })) {
      if (event.name === 'PROVIDER') for (const item of event.providers) found[String(item.id)] = item.multiaddrs.map(String)
    }
    return { found }
  },
  stop: async () => { await node.stop(); setImmediate(() => process.exit(0)); return {} }
}

tell({ event: 'ready', ...(await commands.info()) })
readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const command = JSON.parse(line)
  try {
    tell({ id: command.id, ...(await commands[command.name](command)) })
  } catch (error) {
    tell({ id: command.id, error: `${error.name}: ${error.message}` })
  }
}).on('close', () => process.exit(0))
