--- The models by the names that scripts and checkpoints know them by:
--   local model = require "models".resnet18{ class_count = 10 }

local resnet = require "models.resnet"

return {
  lenet = require "models.lenet".LeNet,
  airbench = require "models.airbench".Airbench,
  resnet18 = resnet.ResNet18,
  resnet34 = resnet.ResNet34,
  resnet50 = resnet.ResNet50,
  resnet101 = resnet.ResNet101,
  resnet152 = resnet.ResNet152,
}
