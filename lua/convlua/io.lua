--- Files: arrays, images, whole files, folders, checksums, downloads.
-- What is written appears whole or not at all, also when the program is killed or the disk is full.
-- Errors name the file and the reason.

local core = require "convlua.core.io"

local files = {}

-- Arrays -----------------------------------------------------------------------------------------

--- save_npz(path, { name = tensor }): an .npz archive, which NumPy reads too. The same tensors give
-- the same bytes. Names may hold "/" and ".".
files.save_npz = core.save_npz

--- load_npz(path) -> { name = tensor }. Reads what save_npz and numpy.savez write; never executes
-- anything. A damaged file is refused, with the reason.
files.load_npz = core.load_npz

--- npz_info(path) -> { name = { shape = {...}, dtype = "float32" } }, without reading the data.
files.npz_info = core.npz_info

--- save_npz_async(path, { name = tensor }): copies the tensors and writes them while the program
-- goes on. Waits for the write before; if that one failed, raises its error instead of starting.
files.save_npz_async = core.save_npz_async

--- wait(): until save_npz_async has written; raises its error. The program's end waits by itself.
files.wait = core.wait

--- busy() -> whether save_npz_async is still writing.
files.busy = core.busy

-- Images -----------------------------------------------------------------------------------------

--- read_image(path) -> uint8 tensor {height, width, 3}, from JPEG or PNG. Grey becomes RGB, alpha
-- is dropped. A cut or damaged file is refused.
files.read_image = core.read_image

--- decode_image(bytes [, name]) -> uint8 tensor {height, width, 3}; `name` is for messages.
files.decode_image = core.decode_image

--- write_png(path, image): image uint8 {height, width, 3}.
files.write_png = core.write_png

--- encode_png(image) -> the bytes of a PNG file.
files.encode_png = core.encode_png

--- resize(image, height, width) -> image: a triangle filter that averages when it reduces, the same
-- bytes as Pillow's BILINEAR.
files.resize = core.resize

-- Whole files and folders -----------------------------------------------------------------------

--- read_file(path [, most]) -> string; larger files than `most` bytes (1 GiB) are refused.
files.read_file = core.read_file

--- write_file(path, text): replaces the file in one step.
files.write_file = core.write_file

--- sweep(folder) -> how many temporary files of killed programs it removed.
files.sweep = core.sweep

--- make_folder(path): with those above it; fine when it is there.
files.make_folder = core.make_folder

--- list_folder(path) -> sorted names.
files.list_folder = core.list_folder

--- stat(path) -> { kind = "file" | "folder" | "other", size = bytes, modified = seconds }, or nil.
files.stat = core.stat

-- Checksums and downloads ------------------------------------------------------------------------

--- sha1(text) -> 40 hexadecimal digits.
files.sha1 = core.sha1

--- check_sha1(path, sum [, size]): an error with both sums when the file has another one.
files.check_sha1 = core.check_sha1

--- fetch{ url, path, size, sha1, progress }: downloads, going on where an earlier try ended, checks
-- size (bytes) and sum where given, then puts the file in place. progress(done, total) is called
-- some times a second; returning false stops.
files.fetch = core.fetch

--- extract(archive, folder [, most]) -> number of files, from .tar or .tar.gz; never outside the
-- folder, at most `most` bytes (4 GiB).
files.extract = core.extract

return files
